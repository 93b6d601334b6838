#include "mapping.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <new>
#include <stdexcept>
#include <utility>

#include "ashore_engine.h"

namespace ashore {
namespace {

size_t page_bytes() {
  static const auto kPage = static_cast<size_t>(sysconf(_SC_PAGE_SIZE));
  return kPage;
}

// Whole pages for `size` bytes and the slack behind them; throws where that is no number.
size_t with_slack(size_t size) {
  size_t room = 0;
  if (__builtin_add_overflow(size, ASHORE_SLACK_BYTES + page_bytes() - 1, &room)) throw std::bad_alloc();
  return room / page_bytes() * page_bytes();
}

uint8_t* reserve_zeros(size_t size, int protection = PROT_READ | PROT_WRITE) {
  void* memory = mmap(nullptr, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return static_cast<uint8_t*>(memory);
}

}  // namespace

Mapping::Mapping(int fd, size_t size, Access access) : size_(size), reserved_(with_slack(size)) {
  const int protection = access == Access::kWrite ? PROT_READ | PROT_WRITE : PROT_READ;
  // What cannot be written does not count against the limit on this process's memory: a file may be larger than that.
  data_ = reserve_zeros(reserved_, protection);
  if (size == 0) return;
  // Shared also for reading: whoever wrote the file meanwhile would be seen in private pages just as well.
  if (mmap(data_, size, protection, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
    const std::string reason = std::strerror(errno);
    munmap(data_, reserved_);
    throw std::runtime_error("cannot map " + std::to_string(size) + " bytes: " + reason);
  }
}

Mapping::~Mapping() {
  if (data_ != nullptr) munmap(data_, reserved_);
}

Mapping::Mapping(Mapping&& other) noexcept { *this = std::move(other); }

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(reserved_, other.reserved_);
  return *this;
}

void Mapping::forget(size_t begin, size_t size) const {
  const size_t first = begin / page_bytes() * page_bytes();
  if (first < size_ && size > 0) madvise(data_ + first, begin + size - first, MADV_DONTNEED);
}

Mapping map_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw std::runtime_error("cannot open " + path + ": " + std::strerror(errno));
  struct stat status{};
  const bool regular = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
  if (!regular) {
    ::close(fd);
    throw std::runtime_error(path + " is not a regular file");
  }
  try {
    Mapping mapping(fd, static_cast<size_t>(status.st_size), Access::kRead);
    ::close(fd);
    return mapping;
  } catch (...) {
    ::close(fd);
    throw;
  }
}

Buffer::~Buffer() {
  if (data_ != nullptr) munmap(data_, reserved_);
}

uint8_t* Buffer::reserve(size_t size) {
  const size_t needed = with_slack(size);
  if (needed > reserved_) {
    uint8_t* larger = reserve_zeros(needed);  // first: where there is no room, the old memory stays in use
    if (data_ != nullptr) munmap(data_, reserved_);
    data_ = larger;
    reserved_ = needed;
  }
  return data_;
}

}  // namespace ashore
