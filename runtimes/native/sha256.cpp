#include "sha256.h"

#include <algorithm>
#include <cstring>

#include "sha256_blocks.h"

namespace ashore {

void Sha256::add(const uint8_t* data, size_t size) {
  total_bytes_ += size;
  if (pending_size_ > 0) {
    const size_t taken = std::min(size, pending_.size() - pending_size_);
    std::memcpy(pending_.data() + pending_size_, data, taken);
    pending_size_ += taken;
    data += taken;
    size -= taken;
    if (pending_size_ < pending_.size()) return;
    hash_blocks(state_.data(), pending_.data(), 1);
    pending_size_ = 0;
  }
  hash_blocks(state_.data(), data, size / 64);
  pending_size_ = size % 64;
  if (pending_size_ > 0) std::memcpy(pending_.data(), data + size / 64 * 64, pending_size_);
}

Digest Sha256::digest() {
  const uint64_t bits = total_bytes_ * 8;
  const uint8_t end = 0x80;
  const uint8_t zeros[64] = {};
  add(&end, 1);
  add(zeros, (64 + 56 - pending_size_) % 64);
  uint8_t length[8];
  for (int index = 0; index < 8; ++index) length[index] = static_cast<uint8_t>(bits >> (56 - 8 * index));
  add(length, sizeof(length));
  Digest digest;
  for (size_t index = 0; index < digest.size(); ++index) {
    digest[index] = static_cast<uint8_t>(state_[index / 4] >> (24 - 8 * (index % 4)));
  }
  return digest;
}

std::string hex(const Digest& digest) {
  static const char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const uint8_t byte : digest) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

}  // namespace ashore
