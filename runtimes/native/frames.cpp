#include "frames.h"

#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

#include "clock.h"

namespace ashore {
namespace {

constexpr uint32_t kMaxBodyBytes = 0x7FFFFFFF;
constexpr uint64_t kPatienceNs = 300000;

void put_u32(uint8_t* at, uint32_t value) {
  for (int index = 0; index < 4; ++index) at[index] = static_cast<uint8_t>(value >> (8 * index));
}

uint32_t get_u32(const uint8_t* at) {
  return static_cast<uint32_t>(at[0]) | static_cast<uint32_t>(at[1]) << 8 | static_cast<uint32_t>(at[2]) << 16 |
         static_cast<uint32_t>(at[3]) << 24;
}

bool is_request(uint8_t kind) {
  switch (static_cast<Kind>(kind)) {
    case Kind::kLoad:
    case Kind::kRun:
    case Kind::kRepeat:
    case Kind::kMemory:
    case Kind::kOps:
    case Kind::kPace:
      return true;
    default:
      return false;
  }
}

// Leaves out the first `done` bytes.
void advance(std::vector<iovec>* parts, size_t done) {
  while (!parts->empty() && done >= parts->front().iov_len) {
    done -= parts->front().iov_len;
    parts->erase(parts->begin());
  }
  if (parts->empty()) return;
  parts->front().iov_base = static_cast<uint8_t*>(parts->front().iov_base) + done;
  parts->front().iov_len -= done;
}

}  // namespace

Kind Frames::next() {
  skip_rest();
  if (just_ran_) watch_for_request();
  uint8_t header[5];
  read_exactly(header, sizeof(header));
  const uint32_t length = get_u32(header);
  if (!is_request(header[4]) || length > kMaxBodyBytes) {
    throw ProtocolError("no request: length " + std::to_string(length) + ", kind " + std::to_string(header[4]));
  }
  left_ = length;
  return static_cast<Kind>(header[4]);
}

void Frames::take(void* data, size_t size) {
  if (size > left_) {
    throw ProtocolError("the request ends " + std::to_string(size - left_) + " bytes too early");
  }
  left_ -= size;
  read_exactly(data, size);
}

std::vector<uint8_t> Frames::take_rest(size_t most) {
  if (left_ > most) throw ProtocolError("a request of " + std::to_string(left_) + " bytes more than it should have");
  std::vector<uint8_t> rest(left_);
  take(rest.data(), rest.size());
  return rest;
}

uint32_t Frames::take_u32() {
  uint8_t bytes[4];
  take(bytes, sizeof(bytes));
  return get_u32(bytes);
}

void Frames::skip_rest() {
  uint8_t scrap[4096];
  while (left_ > 0) take(scrap, std::min(left_, sizeof(scrap)));
}

// A caller that runs one input after another sends the next one soon. It finds this process awake, where waking it would
// take the system up to 100 microseconds; an idle session costs nothing, since this ends.
void Frames::watch_for_request() const {
  static const bool kHasCoreToSpare = std::thread::hardware_concurrency() > 1;
  if (!kHasCoreToSpare) return;
  pollfd requests = {read_fd_, POLLIN, 0};
  const uint64_t end_ns = now_ns() + kPatienceNs;
  while (poll(&requests, 1, 0) == 0 && now_ns() < end_ns) {
  }
}

void Frames::read_exactly(void* data, size_t size) {
  auto* at = static_cast<uint8_t*>(data);
  while (size > 0) {
    const ssize_t got = read(read_fd_, at, size);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) throw EndOfConversation{};
    at += got;
    size -= static_cast<size_t>(got);
  }
}

void Frames::send(Kind kind, const std::vector<Piece>& pieces) {
  just_ran_ = kind == Kind::kRan;
  size_t length = 0;
  for (const Piece& piece : pieces) length += piece.size;
  if (length > kMaxBodyBytes) throw ProtocolError("an answer of " + std::to_string(length) + " bytes is too long");
  uint8_t header[5];
  put_u32(header, static_cast<uint32_t>(length));
  header[4] = static_cast<uint8_t>(kind);
  std::vector<iovec> parts = {{header, sizeof(header)}};
  for (const Piece& piece : pieces) {
    if (piece.size > 0) parts.push_back({const_cast<void*>(piece.data), piece.size});
  }
  while (!parts.empty()) {
    const ssize_t sent = writev(write_fd_, parts.data(), static_cast<int>(std::min<size_t>(parts.size(), 1024)));
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) throw EndOfConversation{};
    advance(&parts, static_cast<size_t>(sent));
  }
}

}  // namespace ashore
