#include "flat_signature.h"

namespace ashore {
namespace {

// Places of fields in the tables of TensorFlow Lite's schema.
constexpr uint32_t kModelSignatures = 7;
constexpr uint32_t kSignatureInputs = 0, kSignatureOutputs = 1, kSignatureKey = 2;
constexpr uint32_t kMapName = 0, kMapTensor = 1;

struct Damaged {};

// A flatbuffer of unknown origin: every read is checked against its end.
class Flatbuffer {
 public:
  explicit Flatbuffer(ModelBytes file) : data_(static_cast<const uint8_t*>(file.data)), size_(file.size) {}

  uint64_t root() const { return follow(0); }

  // Where a table's field lies; 0 where the table leaves it out.
  uint64_t field(uint64_t table, uint32_t index) const {
    // A table starts with the signed distance back to its list of fields.
    const auto back = static_cast<int32_t>(number(table, 4));
    const uint64_t fields = static_cast<uint64_t>(static_cast<int64_t>(table) - back);
    const uint64_t place = 4 + 2 * static_cast<uint64_t>(index);
    if (place + 2 > number(fields, 2)) return 0;
    const uint64_t offset = number(fields + place, 2);
    return offset == 0 ? 0 : table + offset;
  }
  uint32_t field_number(uint64_t table, uint32_t index) const {
    const uint64_t at = field(table, index);
    return at == 0 ? 0 : number(at, 4);
  }
  std::vector<uint64_t> field_tables(uint64_t table, uint32_t index) const {
    std::vector<uint64_t> tables;
    const uint64_t at = field(table, index);
    if (at == 0) return tables;
    const uint64_t list = follow(at);
    const uint32_t count = number(list, 4);
    for (uint64_t item = 0; item < count; ++item) tables.push_back(follow(list + 4 + 4 * item));
    return tables;
  }
  std::string field_text(uint64_t table, uint32_t index) const {
    const uint64_t at = field(table, index);
    if (at == 0) return "";
    const uint64_t text = follow(at);
    const uint32_t length = number(text, 4);
    if (length > size_ - text - 4) throw Damaged{};
    return {reinterpret_cast<const char*>(data_ + text + 4), length};
  }

 private:
  uint64_t follow(uint64_t at) const { return at + number(at, 4); }

  uint32_t number(uint64_t at, uint32_t bytes) const {
    if (at > size_ || size_ - at < bytes) throw Damaged{};
    uint32_t value = 0;
    for (uint32_t index = 0; index < bytes; ++index) value |= static_cast<uint32_t>(data_[at + index]) << (8 * index);
    return value;
  }

  const uint8_t* data_;
  uint64_t size_;
};

std::vector<NamedTensor> read_side(const Flatbuffer& file, uint64_t signature, ashore_side side) {
  std::vector<NamedTensor> tensors;
  for (const uint64_t map : file.field_tables(signature, side == ASHORE_INPUT ? kSignatureInputs : kSignatureOutputs)) {
    tensors.push_back({file.field_text(map, kMapName), file.field_number(map, kMapTensor)});
  }
  return tensors;
}

}  // namespace

std::vector<NamedTensor> read_signature_side(ModelBytes bytes, const std::string& key, ashore_side side) {
  const Flatbuffer file(bytes);
  try {
    for (const uint64_t signature : file.field_tables(file.root(), kModelSignatures)) {
      if (file.field_text(signature, kSignatureKey) == key) return read_side(file, signature, side);
    }
  } catch (const Damaged&) {
  }
  return {};
}

}  // namespace ashore
