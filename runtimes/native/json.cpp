#include "json.h"

#include <cmath>
#include <cstdio>

#include "shapes.h"

namespace ashore {
namespace {

// The length of the UTF-8 character at `at`, 0 where there is none.
size_t character_bytes(const std::string& text, size_t at) {
  const auto byte = [&](size_t index) {
    return index < text.size() ? static_cast<unsigned char>(text[index]) : static_cast<unsigned char>(0);
  };
  const unsigned first = byte(at), second = byte(at + 1);
  const auto follows = [&](size_t index) { return (byte(at + index) & 0xC0) == 0x80; };
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return follows(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    const bool overlong = first == 0xE0 && second < 0xA0;
    const bool surrogate = first == 0xED && second >= 0xA0;
    return follows(1) && follows(2) && !overlong && !surrogate ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const bool outside = (first == 0xF0 && second < 0x90) || (first == 0xF4 && second >= 0x90);
    return follows(1) && follows(2) && follows(3) && !outside ? 4 : 0;
  }
  return 0;
}

std::string escaped(char character) {
  if (character == '"' || character == '\\') return std::string("\\") + character;
  if (static_cast<unsigned char>(character) >= 0x20) return {character};
  char text[8];
  std::snprintf(text, sizeof(text), "\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(character)));
  return text;
}

std::string dynamic_json(const ashore_tensor_facts& facts) {
  std::string json;
  for (int32_t axis = 0; axis < facts.rank; ++axis) {
    if (facts.least[axis] == facts.most[axis] && facts.least[axis] == facts.shape[axis]) continue;
    if (!json.empty()) json += ",";
    json += "\"" + std::to_string(axis) + "\":[" + std::to_string(facts.least[axis]) + "," +
            std::to_string(facts.most[axis]) + "]";
  }
  return "{" + json + "}";
}

std::string quantization_json(const ashore_tensor_facts& facts) {
  if (facts.scale == nullptr || !std::isfinite(*facts.scale)) return "null";
  char scale[40];
  std::snprintf(scale, sizeof(scale), "%.17g", *facts.scale);
  return "[" + std::string(scale) + "," + std::to_string(facts.zero_point) + "]";
}

}  // namespace

std::string quoted(const std::string& text) {
  std::string json = "\"";
  for (size_t at = 0; at < text.size();) {
    const size_t bytes = character_bytes(text, at);
    if (bytes == 0) json += "\\ufffd";
    if (bytes == 1) json += escaped(text[at]);
    if (bytes > 1) json += text.substr(at, bytes);
    at += bytes > 0 ? bytes : 1;
  }
  return json + "\"";
}

std::string facts_json(const ashore_tensor_facts& facts) {
  std::string shape;
  for (int32_t axis = 0; axis < facts.rank; ++axis) {
    shape += (axis > 0 ? "," : "") + std::to_string(facts.shape[axis]);
  }
  return "{\"name\":" + quoted(facts.name) + ",\"shape\":[" + shape + "],\"dtype\":\"" + dtype_name(facts.dtype) +
         "\",\"dynamic\":" + dynamic_json(facts) + ",\"quantization\":" + quantization_json(facts) + "}";
}

std::string op_json(const ashore_op& op) {
  return "{\"name\":" + quoted(op.name) + ",\"type\":" + quoted(op.type) +
         ",\"delegated\":" + (op.delegated != 0 ? "true" : "false") + ",\"ns\":" + std::to_string(op.ns) +
         ",\"calls\":" + std::to_string(op.calls) + "}";
}

}  // namespace ashore
