// ExecuTorch as its documents show it, and nothing else: what the runner is measured against.
#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>

#include "bare_loop.h"

// The wheel ships the library but not this header.
namespace executorch::extension::threadpool {
class ThreadPool {
 public:
  bool _unsafe_reset_threadpool(uint32_t threads);
};
ThreadPool* get_threadpool();
}  // namespace executorch::extension::threadpool

namespace et = executorch::extension;

int main(int, char** words) {
  et::threadpool::get_threadpool()->_unsafe_reset_threadpool(std::stoul(words[3]));
  et::Module module(words[1]);
  auto* method = module.method("forward").get();
  const auto sizes = method->method_meta().input_tensor_meta(0)->sizes();
  auto data = read_file(words[2]);
  const auto input = et::from_blob(data.data(), {sizes.begin(), sizes.end()});
  return serve([&] {
    require(method->set_input(*input, 0) == executorch::runtime::Error::Ok, "set_input");
    return timed([&] { require(method->execute() == executorch::runtime::Error::Ok, "execute"); });
  });
}
