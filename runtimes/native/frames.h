// The conversation with the parent: frames of `u32 body length, u8 kind, body` (docs/formats.md, "The runner's
// frames").
#ifndef ASHORE_FRAMES_H_
#define ASHORE_FRAMES_H_

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace ashore {

enum class Kind : uint8_t {
  kHello = 0x5A,
  kLoad = 1,
  kLoaded = 2,
  kRun = 3,
  kRan = 4,
  kFailed = 5,
  kRepeat = 6,
  kRepeated = 7,
  kMemory = 8,
  kMemoryIs = 9,
  kOps = 10,
  kOpsAre = 11,
  kPace = 12,
  kPaceIs = 13,
};

// What came is no frame, or a frame whose body is not what its kind says.
struct ProtocolError : std::runtime_error {
  using std::runtime_error::runtime_error;
};
// The parent closed its end.
struct EndOfConversation {};

struct Piece {
  const void* data;
  size_t size;
};

class Frames {
 public:
  Frames(int read_fd, int write_fd) : read_fd_(read_fd), write_fd_(write_fd) {}

  // Waits for the next request, and skips what is left of the one before.
  Kind next();
  // Bytes of the current body that are not read yet.
  size_t left() const { return left_; }
  // Reads from the body; throws ProtocolError where it is shorter.
  void take(void* data, size_t size);
  std::vector<uint8_t> take_rest(size_t most);
  uint32_t take_u32();

  void send(Kind kind, const std::vector<Piece>& pieces);
  void send(Kind kind, const std::string& body) { send(kind, {{body.data(), body.size()}}); }

 private:
  void watch_for_request() const;
  void read_exactly(void* data, size_t size);
  void skip_rest();

  int read_fd_, write_fd_;
  size_t left_ = 0;
  bool just_ran_ = false;
};

}  // namespace ashore

#endif  // ASHORE_FRAMES_H_
