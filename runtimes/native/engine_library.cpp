#include "engine_library.h"

#include <dlfcn.h>
#include <limits.h>
#include <unistd.h>

namespace ashore {
namespace {

// Started through an explicit loader, this is the loader's folder, which then is ours too.
std::string own_folder() {
  char path[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof(path));
  if (length <= 0) return ".";
  const std::string text(path, static_cast<size_t>(length));
  return text.substr(0, text.rfind('/'));
}

}  // namespace

const ashore_api* load_engine(const std::string& name, std::string* problem) {
  // The name becomes part of a path.
  if (name != "executorch" && name != "litert") {
    *problem = "there is no engine '" + name + "'";
    return nullptr;
  }
  const std::string path = own_folder() + "/libashore_" + name + ".so";
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  void* entry = library != nullptr ? dlsym(library, "ashore_engine") : nullptr;
  if (entry == nullptr) {
    const char* reason = dlerror();
    *problem = reason != nullptr ? reason : path + " is no engine";
    return nullptr;
  }
  const ashore_api* api = reinterpret_cast<const ashore_api* (*)()>(entry)();
  if (api->abi_version != ASHORE_ABI_VERSION) {
    *problem = path + " was built for another ashore";
    return nullptr;
  }
  if (api->start() != ASHORE_OK) {
    *problem = api->last_error();
    return nullptr;
  }
  return api;
}

}  // namespace ashore
