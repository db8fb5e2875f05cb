// SPDX-License-Identifier: Apache-2.0
#include <yaml-cpp/anchor.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>

#include "lib/base/nearest.h"
#include "lib/config/scalar.h"
#include "lib/config/yaml.h"

namespace suffice {
namespace {

constexpr size_t kMaxBytes = 4 << 20;
constexpr int kMaxNodes = 200'000;
constexpr int kMaxDepth = 32;

// Refuses what the subset leaves out while the document is parsed, before any tree exists: aliases
// could otherwise expand without bound.
class Gate : public YAML::EventHandler {
 public:
  explicit Gate(const std::string& name) : name_(name) {}
  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) Fail(mark, "one document is wanted, found a second");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { Node(mark, "", anchor); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    Fail(mark, "aliases are not accepted");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string&) override {
    Node(mark, tag, anchor);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor);
  }
  void OnSequenceEnd() override { --depth_; }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor);
  }
  void OnMapEnd() override { --depth_; }

 private:
  void Open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (++depth_ > kMaxDepth) Fail(mark, "nested too deeply");
    Node(mark, tag, anchor);
  }
  void Node(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (++nodes_ > kMaxNodes) Fail(mark, "too many values");
    if (anchor != 0) Fail(mark, "anchors are not accepted");
    if (!tag.empty() && tag != "?" && tag != "!") Fail(mark, "tags are not accepted");
  }
  [[noreturn]] void Fail(const YAML::Mark& mark, const char* what) {
    throw YAML::ParserException(mark, what);
  }
  std::string name_;
  int documents_ = 0;
  int nodes_ = 0;
  int depth_ = 0;
};

// A flag's value is a line of its own: only files have places worth naming.
std::string At(const std::string& name, const YAML::Mark& mark) {
  return mark.is_null() || name.starts_with("--")
             ? name
             : fmt::format("{}:{}:{}", name, mark.line + 1, mark.column + 1);
}

class Loader {
 public:
  Loader(const std::string& name, Origins* origins) : name_(name), origins_(origins) {}

  void LoadMap(const YAML::Node& node, const Fields& fields, const std::string& prefix) {
    if (!node.IsMap()) {
      Complain(node.Mark(), "a map of keys is wanted{}", prefix.empty() ? "" : " at " + prefix);
      return;
    }
    std::vector<std::string> known;
    for (const Field& field : fields.all()) known.push_back(field.key);
    std::set<std::string> seen;
    for (const auto& entry : node) {
      if (!entry.first.IsScalar()) {
        Complain(entry.first.Mark(), "a key must be a plain name");
        continue;
      }
      const std::string key = entry.first.Scalar();
      if (!seen.insert(key).second) {
        Complain(entry.first.Mark(), "key '{}' is given twice", prefix + key);
        continue;
      }
      if (prefix.empty() && key == "schema") {
        if (!entry.second.IsScalar() || entry.second.Scalar() != "1") {
          Complain(entry.second.Mark(), "schema: this version reads schema 1");
        }
        continue;
      }
      const auto field = std::find_if(fields.all().begin(), fields.all().end(),
                                      [&](const Field& f) { return f.key == key; });
      if (field == fields.all().end()) {
        Complain(entry.first.Mark(), "unknown key '{}'{}", prefix + key, DidYouMean(key, known));
        continue;
      }
      LoadField(entry.second, *field, prefix + key);
    }
  }

  void LoadField(const YAML::Node& node, const Field& field, const std::string& path) {
    std::visit([&](const auto& target) { Load(node, field, path, target); }, field.value);
  }

  void Finish(ExitCode code) const {
    if (!problems_.empty()) throw Error(code, problems_);
  }

 private:
  template <class... Args>
  void Complain(const YAML::Mark& mark, fmt::format_string<Args...> format, Args&&... args) {
    if (++count_ > 20) return;
    if (!problems_.empty()) problems_ += '\n';
    problems_ += At(name_, mark) + ": " + fmt::format(format, std::forward<Args>(args)...);
  }

  void Note(const YAML::Node& node, const std::string& path) {
    if (origins_ == nullptr) return;
    (*origins_)[path] = node.Mark().is_null() || name_.starts_with("-")
                            ? name_
                            : fmt::format("{}:{}", name_, node.Mark().line + 1);
  }

  // Of a flag that has its key's name, the name is said already.
  std::string Key(const std::string& path) const { return name_ == "--" + path ? "" : path + ": "; }

  static std::string Found(const YAML::Node& node) {
    if (node.IsScalar()) return "'" + node.Scalar().substr(0, 60) + "'";
    return node.IsMap() ? "a map" : node.IsSequence() ? "a list" : "nothing";
  }

  template <class T>
  bool LoadScalar(const YAML::Node& node, const Field& field, const std::string& path, T* out) {
    // yaml-cpp marks quoted scalars with the non-specific tag "!".
    std::optional<std::string> wanted = "a single value";
    if (node.IsScalar()) {
      wanted = internal::ParseInto(field, node.Scalar(), node.Tag() == "!", out);
    }
    if (!wanted) return true;
    std::string hint;
    if (node.IsScalar()) hint = DidYouMean(node.Scalar(), field.choices);
    Complain(node.Mark(), "{}{} found, {} wanted{}", Key(path), Found(node), *wanted, hint);
    return false;
  }

  template <class T>
  void Load(const YAML::Node& node, const Field& field, const std::string& path, T* out) {
    if (LoadScalar(node, field, path, out)) Note(node, path);
  }

  template <class T>
  void Load(const YAML::Node& node, const Field& field, const std::string& path,
            std::vector<T>* out) {
    if (!node.IsSequence()) {
      Complain(node.Mark(), "{}{} found, a list wanted", Key(path), Found(node));
      return;
    }
    std::vector<T> values;
    for (const YAML::Node& item : node) {
      T value{};
      if (!LoadScalar(item, field, path, &value)) return;
      values.push_back(std::move(value));
    }
    *out = std::move(values);
    Note(node, path);
  }

  void Load(const YAML::Node& node, const Field&, const std::string& path,
            const std::shared_ptr<Fields>& group) {
    LoadMap(node, *group, path + ".");
  }

  void Load(const YAML::Node& node, const Field&, const std::string& path, const ListAccess& list) {
    if (!node.IsSequence()) {
      Complain(node.Mark(), "{}{} found, a list wanted", Key(path), Found(node));
      return;
    }
    list.resize(0);
    list.resize(node.size());
    for (size_t i = 0; i < node.size(); ++i) {
      LoadMap(node[i], list.element(i), fmt::format("{}[{}].", path, i));
    }
    Note(node, path);
  }

  std::string name_;
  Origins* origins_;
  std::string problems_;
  int count_ = 0;
};

YAML::Node Parse(const std::string& text, const std::string& name, ExitCode code) {
  if (text.size() > kMaxBytes) throw Error(code, fmt::format("{}: larger than 4 MiB", name));
  if (text.find('\0') != std::string::npos) {
    throw Error(code, fmt::format("{}: contains a NUL byte: not a YAML text", name));
  }
  try {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    Gate gate(name);
    while (parser.HandleNextDocument(gate)) {
    }
    return YAML::Load(text);
  } catch (const YAML::Exception& e) {
    throw Error(code, At(name, e.mark) + ": " + e.msg);
  }
}

}  // namespace

void LoadYaml(const std::string& text, const std::string& name, const Fields& fields,
              Origins* origins, ExitCode code) {
  const YAML::Node root = Parse(text, name, code);
  if (root.IsNull()) return;  // an empty file is all defaults
  Loader loader(name, origins);
  try {
    loader.LoadMap(root, fields, "");
  } catch (const YAML::Exception& e) {
    throw Error(code, At(name, e.mark) + ": " + e.msg);
  }
  loader.Finish(code);
}

void LoadYamlFile(const std::string& path, const Fields& fields, Origins* origins, ExitCode code) {
  std::ifstream file(path, std::ios::binary);
  std::string text;
  if (file) {
    text.resize(kMaxBytes + 1);
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<size_t>(file.gcount()));
  }
  if (!file && !file.eof()) throw DataError("{}: cannot be read", path);
  LoadYaml(text, path, fields, origins, code);
}

void SetField(const Fields& fields, const std::string& assignment, const std::string& origin,
              Origins* origins) {
  const size_t equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw UsageError("{} {}: wanted KEY=VALUE", origin, assignment);
  }
  const std::string path = assignment.substr(0, equals);
  const YAML::Node node =
      Parse(assignment.substr(equals + 1), origin + " " + path, ExitCode::kUsage);
  const Fields* level = &fields;
  std::string prefix;
  for (size_t begin = 0;;) {
    const size_t dot = path.find('.', begin);
    const std::string key = path.substr(begin, dot == std::string::npos ? dot : dot - begin);
    std::vector<std::string> known;
    const Field* found = nullptr;
    for (const Field& field : level->all()) {
      known.push_back(field.key);
      if (field.key == key) found = &field;
    }
    if (found == nullptr) {
      throw UsageError("{}: unknown key '{}'{}", origin, prefix + key, DidYouMean(key, known));
    }
    prefix += key;
    const auto* group = std::get_if<std::shared_ptr<Fields>>(&found->value);
    if (dot == std::string::npos) {
      if (group != nullptr) throw UsageError("{}: '{}' is a group of keys", origin, prefix);
      Loader loader(origin, origins);
      loader.LoadField(node, *found, prefix);
      loader.Finish(ExitCode::kUsage);
      return;
    }
    if (group == nullptr) throw UsageError("{}: '{}' has no keys below it", origin, prefix);
    level = group->get();
    prefix += '.';
    begin = dot + 1;
  }
}

}  // namespace suffice
