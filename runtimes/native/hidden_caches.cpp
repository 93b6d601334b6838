// LiteRT's arm64 library reads how the CPU's caches are shared, and dies of what it finds where qemu passes the files
// of an x86 machine through. Its calls of open() find these functions first, because the runner exports them.
#if defined(__aarch64__)

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstring>

namespace {

constexpr char kCpus[] = "/sys/devices/system/cpu/";

// Linux on a real arm64 CPU says there which one it is.
bool is_emulated() {
  static const bool kEmulated =
      syscall(SYS_faccessat, AT_FDCWD, "/sys/devices/system/cpu/cpu0/regs/identification/midr_el1", F_OK) != 0;
  return kEmulated;
}

bool is_hidden(const char* path) {
  return path != nullptr && std::strncmp(path, kCpus, sizeof(kCpus) - 1) == 0 &&
         std::strstr(path, "/cache/") != nullptr && is_emulated();
}

int open_visible(const char* path, int flags, mode_t mode) {
  if (is_hidden(path)) {
    errno = ENOENT;
    return -1;
  }
  return static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}

mode_t mode_argument(int flags, va_list arguments) {
  const bool creates = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
  return creates ? va_arg(arguments, mode_t) : 0;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_argument(flags, arguments);
  va_end(arguments);
  return open_visible(path, flags, mode);
}

extern "C" __attribute__((visibility("default"))) int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_argument(flags, arguments);
  va_end(arguments);
  return open_visible(path, flags, mode);
}

#endif
