#include "session.h"

#include <algorithm>
#include <cstring>

#include "clock.h"
#include "json.h"
#include "memory.h"
#include "pace.h"
#include "sha256.h"
#include "shapes.h"

namespace ashore {
namespace {

constexpr uint8_t kCountOperators = 1, kHasSha256 = 2;
constexpr size_t kMaxPathBytes = 4096, kMaxLayoutBytes = 1 << 24, kHashedAtOnce = 1 << 20;
constexpr uint32_t kMaxRepeats = 1 << 20;

const char* code_of(int32_t status) {
  switch (status) {
    case ASHORE_INVALID_MODEL:
      return "InvalidModel";
    case ASHORE_UNSUPPORTED:
      return "Unsupported";
    case ASHORE_INVALID_INPUT:
      return "InvalidInput";
    case ASHORE_NO_LIBRARY:
      return "ImportError";
    default:
      return "EngineFailed";
  }
}

Mapping open_file(const std::string& path) {
  try {
    return map_file(path);
  } catch (const std::runtime_error& error) {
    throw RequestFailed("InvalidModel", error.what());
  }
}

}  // namespace

void Session::hello() {
  frames_->send(Kind::kHello, "{\"runner\":\"native\",\"engine\":" + quoted(engine_->name) + ",\"engine_version\":" +
                                  quoted(engine_->version) + ",\"memory\":" + memory_json() + "}");
}

void Session::answer(Kind request) {
  switch (request) {
    case Kind::kLoad:
      return load();
    case Kind::kRun:
      return run();
    case Kind::kRepeat:
      return repeat();
    case Kind::kMemory:
      return memory();
    case Kind::kPace:
      return pace();
    default:
      return ops();
  }
}

void Session::load() {
  uint8_t flags = 0;
  Digest expected{};
  frames_->take(&flags, 1);
  if ((flags & kHasSha256) != 0) frames_->take(expected.data(), expected.size());
  const auto path = frames_->take_rest(kMaxPathBytes);
  if (model_ != nullptr) throw ProtocolError("a model is loaded already");
  const uint64_t begin_ns = now_ns();
  file_ = open_file({path.begin(), path.end()});
  if ((flags & kHasSha256) != 0) check_sha256(file_, expected.data());
  const uint32_t options = (flags & kCountOperators) != 0 ? ASHORE_COUNT_OPERATORS : 0;
  check(engine_->open(file_.data(), file_.size(), threads_, options, &model_));
  const uint64_t load_ns = now_ns() - begin_ns;
  // Engines keep what they need packed in their own memory; the rest comes back from the file when it is touched.
  file_.forget(0, file_.size());
  const std::string inputs = describe(ASHORE_INPUT, &inputs_), outputs = describe(ASHORE_OUTPUT, &outputs_);
  uint64_t planned = 0;
  const bool plans = engine_->planned_bytes(model_, &planned) == ASHORE_OK;
  frames_->send(Kind::kLoaded, "{\"inputs\":" + inputs + ",\"outputs\":" + outputs +
                                   ",\"load_ns\":" + std::to_string(load_ns) + ",\"memory\":" + memory_json() +
                                   (plans ? ",\"planned_bytes\":" + std::to_string(planned) : "") + "}");
}

void Session::check_sha256(const Mapping& file, const uint8_t* expected) const {
  Sha256 hash;
  for (size_t at = 0; at < file.size(); at += kHashedAtOnce) {
    const size_t size = std::min(kHashedAtOnce, file.size() - at);
    hash.add(file.data() + at, size);
    file.forget(at, size);
  }
  const Digest actual = hash.digest();
  if (std::memcmp(actual.data(), expected, actual.size()) == 0) return;
  Digest wanted;
  std::memcpy(wanted.data(), expected, wanted.size());
  throw RequestFailed("ChecksumMismatch", "the file's SHA-256 is " + hex(actual) + ", not " + hex(wanted));
}

std::string Session::describe(int32_t side, std::vector<ashore_tensor_facts>* all) const {
  uint32_t count = 0;
  check(engine_->tensors(model_, side, &count));
  all->resize(count);
  std::string json;
  for (uint32_t index = 0; index < count; ++index) {
    ashore_tensor_facts& facts = (*all)[index];
    check(engine_->describe(model_, side, index, &facts));
    json += (index > 0 ? "," : "") + facts_json(facts);
  }
  return "[" + json + "]";
}

void Session::run() {
  const uint32_t layout_bytes = frames_->take_u32();
  if (layout_bytes > frames_->left() || layout_bytes > kMaxLayoutBytes) throw ProtocolError("the layout is too long");
  std::vector<uint8_t> layout(layout_bytes);
  frames_->take(layout.data(), layout.size());
  bind(layout);
  uint64_t engine_ns = 0;
  check(engine_->run(model_, &engine_ns));
  std::vector<ashore_view> views;
  for (uint32_t index = 0; index < outputs_.size(); ++index) {
    ashore_view view{};
    check(engine_->output(model_, index, &view));
    views.push_back(view);
  }
  uint64_t end = 0;
  const auto slots = lay_out(views, &end);
  const auto answered = pack_layout(slots);
  const auto answered_bytes = static_cast<uint32_t>(answered.size());
  exchange_->publish(frames_, Kind::kRan, {{&engine_ns, 8}, {&answered_bytes, 4}, {answered.data(), answered.size()}},
                     views, slots, end);
}

// Binds again only where something moved: the values change under the engine's hands.
void Session::bind(const std::vector<uint8_t>& layout) {
  const std::vector<Slot> slots = unpack_layout(layout);
  require_model();
  uint64_t end = 0;
  std::vector<ashore_view> views = place(slots, &end);
  uint8_t* data = exchange_->receive(frames_, end);
  if (layout == layout_ && data == bound_at_) return;
  layout_.clear();
  for (size_t index = 0; index < views.size(); ++index) views[index].data = data + slots[index].offset;
  check(engine_->bind(model_, views.data(), static_cast<uint32_t>(views.size())));
  layout_ = layout;
  bound_at_ = data;
}

std::vector<ashore_view> Session::place(const std::vector<Slot>& slots, uint64_t* end) const {
  if (slots.size() != inputs_.size()) {
    throw RequestFailed("InvalidInput", "the model takes " + std::to_string(inputs_.size()) + " inputs, not " +
                                            std::to_string(slots.size()));
  }
  std::vector<ashore_view> views;
  for (size_t index = 0; index < slots.size(); ++index) {
    const Slot& slot = slots[index];
    ashore_view view{nullptr, slot.shape.data(), 0, static_cast<int32_t>(slot.shape.size()), inputs_[index].dtype};
    uint64_t last = 0;
    if (!tensor_bytes(view.shape, view.rank, view.dtype, &view.size_bytes) ||
        __builtin_add_overflow(slot.offset, view.size_bytes, &last)) {
      throw RequestFailed("InvalidInput", "an input of shape " + shape_text(view.shape, view.rank) + " at byte " +
                                              std::to_string(slot.offset) + " needs more memory than there is");
    }
    if (slot.offset % ASHORE_ALIGNMENT_BYTES != 0) throw ProtocolError("an input is not aligned to 64 bytes");
    *end = std::max(*end, last);
    views.push_back(view);
  }
  return views;
}

void Session::repeat() {
  const uint32_t runs = frames_->take_u32();
  require_model();
  if (runs == 0 || runs > kMaxRepeats) {
    throw RequestFailed("InvalidInput", "cannot repeat " + std::to_string(runs) + " times");
  }
  std::vector<uint64_t> engine_ns(runs);
  check(engine_->repeat(model_, runs, engine_ns.data()));
  frames_->send(Kind::kRepeated, {{engine_ns.data(), engine_ns.size() * sizeof(uint64_t)}});
}

void Session::memory() { frames_->send(Kind::kMemoryIs, memory_json()); }

void Session::ops() {
  require_model();
  uint64_t runs = 0;
  uint32_t count = 0;
  check(engine_->profile(model_, &runs, &count));
  std::string json;
  for (uint32_t index = 0; index < count; ++index) {
    ashore_op op{};
    check(engine_->op(model_, index, &op));
    json += (index > 0 ? "," : "") + op_json(op);
  }
  frames_->send(Kind::kOpsAre, "{\"runs\":" + std::to_string(runs) + ",\"ops\":[" + json + "]}");
}

void Session::pace() { frames_->send(Kind::kPaceIs, pace_json()); }

void Session::require_model() const {
  if (model_ == nullptr) throw ProtocolError("no model is loaded");
}

void Session::check(int32_t status) const {
  if (status != ASHORE_OK) throw RequestFailed(code_of(status), engine_->last_error());
}

}  // namespace ashore
