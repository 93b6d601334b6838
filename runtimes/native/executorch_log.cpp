#include "executorch_log.h"

#include <executorch/runtime/platform/platform.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <mutex>

#include "model.h"

namespace ashore {
namespace {

namespace et = executorch::runtime;

constexpr size_t kMostKept = 1000;

std::atomic<bool> quiet{false};
std::mutex mutex;
std::string first_errors;

void emit(et_timestamp_t /*timestamp*/, et_pal_log_level_t level, const char* filename, const char* /*function*/,
          size_t line, const char* message, size_t length) {
  // What it merely wants to tell would hide what went wrong from who reads the last lines.
  if (quiet || (level != kError && level != kFatal)) return;
  const std::string text(message, length);
  std::fprintf(stderr, "%c %s:%zu] %s\n", static_cast<char>(level), filename, line, text.c_str());
  const std::lock_guard<std::mutex> lock(mutex);
  // The first error is the cause; those after it tell where it led.
  if (first_errors.size() + text.size() > kMostKept) return;
  if (!first_errors.empty()) first_errors += "; ";
  first_errors += text;
}

ashore_status status_of(et::Error error) {
  switch (error) {
    case et::Error::OperatorMissing:
    case et::Error::NotImplemented:
    case et::Error::NotSupported:
    case et::Error::NotFound:
    case et::Error::DelegateInvalidCompatibility:
      return ASHORE_UNSUPPORTED;
    case et::Error::MemoryAllocationFailed:
      return ASHORE_ENGINE_FAILED;
    default:
      return ASHORE_INVALID_MODEL;
  }
}

}  // namespace

void keep_log() {
  static const bool kRegistered = et::register_pal(et::PalImpl::create(emit, __FILE__));
  (void)kRegistered;
}

void clear_log() {
  const std::lock_guard<std::mutex> lock(mutex);
  first_errors.clear();
}

std::string explain(et::Error error) {
  std::string text = et::to_string(error);
  text.erase(0, std::min(text.size(), std::strlen("Error::")));
  const std::lock_guard<std::mutex> lock(mutex);
  return first_errors.empty() ? text : text + ": " + first_errors;
}

void require_loaded(et::Error error, const std::string& doing) {
  if (error != et::Error::Ok) throw Failure(status_of(error), doing + ": " + explain(error));
}

QuietLog::QuietLog() { quiet = true; }
QuietLog::~QuietLog() { quiet = false; }

}  // namespace ashore
