// Memory mapped from files, with readable slack behind its end, as ashore_engine.h asks for.
#ifndef ASHORE_MAPPING_H_
#define ASHORE_MAPPING_H_

#include <cstddef>
#include <cstdint>
#include <string>

namespace ashore {

enum class Access { kRead, kWrite };

// The first `size` bytes of a file. Reading behind the file's end finds zeros, not the end of the process.
class Mapping {
 public:
  Mapping() = default;
  // Throws std::runtime_error with the system's reason.
  Mapping(int fd, size_t size, Access access);
  ~Mapping();
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;

  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  // Let the system take the pages back; they come again from the file when touched. For read mappings only.
  void forget(size_t begin, size_t size) const;

 private:
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
  size_t reserved_ = 0;
};

// Maps a whole regular file for reading; throws std::runtime_error where that is impossible.
Mapping map_file(const std::string& path);

// Page-aligned memory that grows, and is not kept when it does.
class Buffer {
 public:
  Buffer() = default;
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  // At least `size` bytes and slack behind; what an earlier call gave is gone where this one gives another.
  uint8_t* reserve(size_t size);

 private:
  uint8_t* data_ = nullptr;
  size_t reserved_ = 0;
};

}  // namespace ashore

#endif  // ASHORE_MAPPING_H_
