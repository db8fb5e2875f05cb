// SPDX-License-Identifier: Apache-2.0
#include "lib/io/tensor_file.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <map>

#include "lib/base/digest.h"
#include "lib/base/error.h"
#include "lib/io/hdf5_handle.h"
#include "lib/io/tensor_check.h"
#include "lib/io/tensor_types.h"

namespace suffice {
namespace {

constexpr std::array<std::string_view, 10> kEncodingNames = {
    "model", "dataset",     "capture",    "mask",       "samples",
    "runs",  "calibration", "checkpoint", "velocities", "classifier"};

// Index of the first element whose exponent is all ones, or -1.
template <class T>
int64_t FirstNonFinite(const HostArray& array, T exponent) {
  const std::byte* bytes = array.data();
  for (int64_t i = 0; i < array.shape().elements(); ++i) {
    T bits;
    std::memcpy(&bits, bytes + static_cast<size_t>(i) * sizeof(T), sizeof(T));
    if ((bits & exponent) == exponent) return i;
  }
  return -1;
}

std::string ShapeText(const Shape& shape) {
  if (shape.rank == 0) return "-";
  std::string text;
  for (int i = 0; i < shape.rank; ++i) text += (i > 0 ? "," : "") + std::to_string(shape[i]);
  return text;
}

std::string Line(std::string_view path, const char* kind, std::string_view type,
                 std::string_view shape, std::string_view hash) {
  return fmt::format("{}\t{}\t{}\t{}\t{}\n", path, kind, type, shape, hash);
}

void HashTexts(Sha256& hash, const std::vector<std::string>& texts) {
  for (const std::string& text : texts) hash.Update(text.c_str(), text.size() + 1);
}

std::string AttributeLine(const std::string& path, const AttributeValue& value) {
  Sha256 hash;
  const char* type = "str";
  std::string shape = "-";
  const auto list_of = [&](size_t count) { shape = std::to_string(count); };
  if (const auto* text = std::get_if<std::string>(&value)) {
    HashTexts(hash, {*text});
  } else if (const auto* texts = std::get_if<std::vector<std::string>>(&value)) {
    HashTexts(hash, *texts);
    list_of(texts->size());
  } else if (const auto* integer = std::get_if<int64_t>(&value)) {
    type = "i64";
    hash.Update(integer, sizeof(*integer));
  } else if (const auto* number = std::get_if<double>(&value)) {
    type = "f64";
    hash.Update(number, sizeof(*number));
  } else if (const auto* integers = std::get_if<std::vector<int64_t>>(&value)) {
    type = "i64";
    hash.Update(integers->data(), integers->size() * sizeof(int64_t));
    list_of(integers->size());
  } else {
    const auto& numbers = std::get<std::vector<double>>(value);
    type = "f64";
    hash.Update(numbers.data(), numbers.size() * sizeof(double));
    list_of(numbers.size());
  }
  return Line(path, "attribute", type, shape, Hex(hash.Finish()));
}

}  // namespace

std::string_view NameOf(EncodingType type) { return kEncodingNames[static_cast<size_t>(type)]; }

std::optional<EncodingType> EncodingTypeFromName(std::string_view name) {
  const auto found = std::find(kEncodingNames.begin(), kEncodingNames.end(), name);
  if (found == kEncodingNames.end()) return std::nullopt;
  return static_cast<EncodingType>(found - kEncodingNames.begin());
}

uint64_t DatasetInfo::bytes() const { return static_cast<uint64_t>(shape.elements()) * item_bytes; }

View MappedArray::view() const {
  return ContiguousView(const_cast<std::byte*>(data_), dtype_, shape_);
}

void RequireFinite(const HostArray& array, const std::string& file, std::string_view object) {
  int64_t bad = -1;
  switch (array.dtype()) {
    case DType::kF16:
      bad = FirstNonFinite<uint16_t>(array, 0x7C00);
      break;
    case DType::kBF16:
      bad = FirstNonFinite<uint16_t>(array, 0x7F80);
      break;
    case DType::kF32:
      bad = FirstNonFinite<uint32_t>(array, 0x7F800000);
      break;
    case DType::kF64:
      bad = FirstNonFinite<uint64_t>(array, 0x7FF0000000000000);
      break;
    default:
      return;
  }
  if (bad >= 0) throw DataError("{}: element {} is not finite", Where(file, object), bad);
}

std::string DatasetDigest(const TensorReader& file, const DatasetInfo& info) {
  Sha256 hash;
  if (info.is_strings) {
    HashTexts(hash, file.ReadStrings(info.path));
  } else {
    file.Stream(info.path, [&](const std::byte* data, size_t bytes) { hash.Update(data, bytes); });
  }
  return Hex(hash.Finish());
}

std::string TensorReader::ContentDigest(std::map<std::string, std::string>* hashes) const {
  std::vector<std::string> lines;
  const auto add_attributes = [&](const std::string& object) {
    for (const auto& [name, value] : Attributes(object)) {
      lines.push_back(AttributeLine(object + "@" + name, value));
    }
  };
  for (const std::string& group : groups()) {
    if (IsVolatile(group)) continue;
    lines.push_back(Line(group, "group", "-", "-", "-"));
    add_attributes(group);
  }
  for (const DatasetInfo& info : datasets()) {
    if (IsVolatile(info.path)) continue;
    const std::string hash = DatasetDigest(*this, info);
    lines.push_back(Line(info.path, "dataset", info.is_strings ? "str" : NameOf(info.dtype),
                         ShapeText(info.shape), hash));
    if (hashes != nullptr) hashes->emplace(info.path, hash);
    add_attributes(info.path);
  }
  std::sort(lines.begin(), lines.end());
  Sha256 hash;
  for (const std::string& line : lines) hash.Update(line);
  return Hex(hash.Finish());
}

bool IsTensorFile(const std::string& path) {
  const Hdf5Session session;
  return IdentifyFile(path) == FileKind::kOurs;
}

std::string ContentDigest(const std::string& path) {
  if (std::filesystem::is_directory(path)) {
    std::map<std::string, std::string> lines;
    for (const auto& entry : std::filesystem::directory_iterator(path)) {
      if (entry.is_directory())
        throw DataError("{}: a folder in it: {}", path, entry.path().string());
      lines[entry.path().filename()] = ContentDigest(entry.path());
    }
    std::string text;
    for (const auto& [name, digest] : lines) text += name + "\t" + digest + "\n";
    return Hex(Sha256Of(text));
  }
  return IsTensorFile(path) ? TensorReader(path).ContentDigest() : Hex(Sha256OfFile(path));
}

}  // namespace suffice
