// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "lib/config/scalar.h"
#include "lib/config/yaml.h"

namespace suffice {
namespace {

template <class T>
std::string FormatList(const std::vector<T>& values) {
  std::string text = "[";
  for (const T& value : values) text += (text.size() == 1 ? "" : ", ") + internal::Format(value);
  return text + "]";
}

// The text of a leaf, or nothing for a group or a list of structs.
struct LeafText {
  template <class T>
  std::string operator()(const T* value) const {
    return internal::Format(*value);
  }
  template <class T>
  std::string operator()(const std::vector<T>* values) const {
    return FormatList(*values);
  }
  std::string operator()(const std::shared_ptr<Fields>&) const { return ""; }
  std::string operator()(const ListAccess&) const { return ""; }
};

void Dump(const Fields& fields, const Origins* origins, const std::string& path, int indent,
          bool first_is_item, std::string* out) {
  for (const Field& field : fields.all()) {
    std::string line(static_cast<size_t>(indent), ' ');
    if (first_is_item) line.replace(line.size() - 2, 2, "- ");
    first_is_item = false;
    line += field.key + ":";
    const std::string name = path + field.key;
    if (const auto* group = std::get_if<std::shared_ptr<Fields>>(&field.value)) {
      *out += line + "\n";
      Dump(**group, origins, name + ".", indent + 2, false, out);
      continue;
    }
    if (const auto* list = std::get_if<ListAccess>(&field.value)) {
      *out += line + (list->size() == 0 ? " []\n" : "\n");
      for (size_t i = 0; i < list->size(); ++i) {
        Dump(list->element(i), origins, fmt::format("{}[{}].", name, i), indent + 4, true, out);
      }
      continue;
    }
    line += " " + std::visit(LeafText{}, field.value);
    if (origins != nullptr) {
      const auto origin = origins->find(name);
      line += "  # " + (origin == origins->end() ? "default" : origin->second);
    }
    *out += line + "\n";
  }
}

std::string TypeName(const Field& field) {
  struct Namer {
    std::string operator()(bool*) const { return "boolean"; }
    std::string operator()(int64_t*) const { return "integer"; }
    std::string operator()(double*) const { return "number"; }
    std::string operator()(std::string*) const { return "string"; }
    std::string operator()(Ppm*) const { return "fraction"; }
    std::string operator()(std::vector<int64_t>*) const { return "list of integers"; }
    std::string operator()(std::vector<double>*) const { return "list of numbers"; }
    std::string operator()(std::vector<std::string>*) const { return "list of strings"; }
    std::string operator()(std::vector<Ppm>*) const { return "list of fractions"; }
    std::string operator()(const std::shared_ptr<Fields>&) const { return "group"; }
    std::string operator()(const ListAccess&) const { return "list of groups"; }
  };
  return std::visit(Namer{}, field.value);
}

// Fields of one element of a list of structs, whatever its present size.
Fields ElementFields(const ListAccess& list) {
  const size_t size = list.size();
  if (size == 0) list.resize(1);
  Fields element = list.element(0);
  return element;
}

nlohmann::ordered_json SchemaOf(const Fields& fields);

nlohmann::ordered_json SchemaOf(const Field& field) {
  nlohmann::ordered_json schema;
  nlohmann::ordered_json* scalar = &schema;
  std::string type = TypeName(field);
  if (const auto* group = std::get_if<std::shared_ptr<Fields>>(&field.value)) {
    schema = SchemaOf(**group);
  } else if (const auto* list = std::get_if<ListAccess>(&field.value)) {
    schema["type"] = "array";
    const size_t size = list->size();
    schema["items"] = SchemaOf(ElementFields(*list));
    list->resize(size);
  } else {
    if (type.starts_with("list of ")) {
      schema["type"] = "array";
      scalar = &schema["items"];
      type = type.substr(8, type.size() - 9);
    }
    (*scalar)["type"] = type == "fraction" ? "number" : type;
    if (field.low <= field.high) {
      (*scalar)["minimum"] = field.low;
      (*scalar)["maximum"] = field.high;
    }
    if (!field.choices.empty()) (*scalar)["enum"] = field.choices;
  }
  schema["description"] = field.doc;
  return schema;
}

nlohmann::ordered_json SchemaOf(const Fields& fields) {
  nlohmann::ordered_json schema;
  schema["type"] = "object";
  schema["additionalProperties"] = false;
  schema["properties"] = nlohmann::ordered_json::object();
  for (const Field& field : fields.all()) schema["properties"][field.key] = SchemaOf(field);
  return schema;
}

void CollectRows(const Fields& fields, const std::string& path, std::vector<FieldRow>* rows) {
  for (const Field& field : fields.all()) {
    const std::string name = path + field.key;
    std::string doc = field.doc;
    if (!field.unit.empty()) doc += " (" + field.unit + ")";
    rows->push_back({name, TypeName(field), std::visit(LeafText{}, field.value),
                     internal::AllowedText(field), doc, field.flag});
    if (const auto* group = std::get_if<std::shared_ptr<Fields>>(&field.value)) {
      CollectRows(**group, name + ".", rows);
    } else if (const auto* list = std::get_if<ListAccess>(&field.value)) {
      const size_t size = list->size();
      CollectRows(ElementFields(*list), name + "[].", rows);
      list->resize(size);
    }
  }
}

}  // namespace

std::string DumpYaml(const Fields& fields, const Origins* origins) {
  std::string text;
  Dump(fields, origins, "", 0, false, &text);
  return text;
}

std::string JsonSchema(const Fields& fields, const std::string& title) {
  nlohmann::ordered_json schema;
  schema["$schema"] = "https://json-schema.org/draft/2020-12/schema";
  schema["title"] = title;
  schema.update(SchemaOf(fields));
  schema["properties"]["schema"] = {{"const", 1}, {"description", "version of this schema"}};
  return schema.dump(2) + "\n";
}

std::vector<FieldRow> FieldTable(const Fields& fields) {
  std::vector<FieldRow> rows;
  CollectRows(fields, "", &rows);
  return rows;
}

}  // namespace suffice
