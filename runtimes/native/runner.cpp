// ashore-runner ENGINE --threads N [--shared IN_FD OUT_FD]
//
// Loads one model with one engine and runs it, as the parent asks in frames on stdin and stdout.
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>
#include <string>

#include "engine_library.h"
#include "exchange.h"
#include "frames.h"
#include "json.h"
#include "session.h"

namespace ashore {
namespace {

constexpr int kUsage = 64, kNoEngine = 69, kNoFrame = 76;  // as in sysexits.h

struct Arguments {
  std::string engine;
  int threads = 0;
  int inputs_fd = -1, outputs_fd = -1;
};

bool to_number(const char* text, int least, int* number) {
  char* end = nullptr;
  errno = 0;
  const long value = strtol(text, &end, 10);
  if (errno != 0 || end == text || *end != '\0' || value < least || value > 1 << 20) return false;
  *number = static_cast<int>(value);
  return true;
}

bool parse(int count, char** words, Arguments* arguments) {
  if (count != 4 && count != 7) return false;
  arguments->engine = words[1];
  if (std::strcmp(words[2], "--threads") != 0 || !to_number(words[3], 1, &arguments->threads)) return false;
  if (count == 4) return true;
  return std::strcmp(words[4], "--shared") == 0 && to_number(words[5], 0, &arguments->inputs_fd) &&
         to_number(words[6], 0, &arguments->outputs_fd);
}

// Keeps stdout for frames, and sends everything that libraries print to stderr.
int claim_stdout() {
  const int frames_fd = dup(STDOUT_FILENO);
  if (frames_fd < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) _exit(kUsage);
  return frames_fd;
}

void fail(Frames* frames, const char* code, const std::string& message) {
  frames->send(Kind::kFailed, "{\"error\":" + quoted(code) + ",\"message\":" + quoted(message) + "}");
}

void answer(Session* session, Frames* frames, Kind request) {
  try {
    session->answer(request);
  } catch (const RequestFailed& failure) {
    fail(frames, failure.code(), failure.what());
  } catch (const ProtocolError& error) {
    fail(frames, "ProtocolError", error.what());
  } catch (const std::bad_alloc&) {
    fail(frames, "EngineFailed", "not enough memory");
  } catch (const std::exception& error) {
    fail(frames, "EngineFailed", error.what());
  }
}

int serve(const Arguments& arguments, Frames* frames) {
  std::string problem;
  const ashore_api* engine = load_engine(arguments.engine, &problem);
  if (engine == nullptr) {
    fail(frames, "ImportError", problem);
    return kNoEngine;
  }
  std::unique_ptr<Exchange> exchange;
  if (arguments.inputs_fd >= 0) {
    exchange = std::make_unique<SharedExchange>(arguments.inputs_fd, arguments.outputs_fd);
  } else {
    exchange = std::make_unique<InlineExchange>();
  }
  Session session(engine, arguments.threads, frames, exchange.get());
  session.hello();
  while (true) answer(&session, frames, frames->next());
}

int serve_until_the_end(const Arguments& arguments) {
  Frames frames(STDIN_FILENO, claim_stdout());
  try {
    return serve(arguments, &frames);
  } catch (const EndOfConversation&) {
    return 0;
  } catch (const ProtocolError& error) {
    // Where one frame ends is lost, and with it where the next begins.
    std::fprintf(stderr, "ashore-runner: %s\n", error.what());
    fail(&frames, "ProtocolError", error.what());
    return kNoFrame;
  }
}

}  // namespace
}  // namespace ashore

int main(int count, char** words) {
  ashore::Arguments arguments;
  if (!ashore::parse(count, words, &arguments)) {
    std::fprintf(stderr, "usage: ashore-runner executorch|litert --threads N [--shared IN_FD OUT_FD]\n");
    return ashore::kUsage;
  }
  // Ctrl-C belongs to the parent, which ends this process by closing its input.
  signal(SIGINT, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  // Tearing the libraries down in order would only take time.
  _exit(ashore::serve_until_the_end(arguments));
}
