// SPDX-License-Identifier: Apache-2.0
// One description per config struct, from which everything else follows: loading YAML, --set,
// flags, dumping, the JSON Schema and the table of suffice-config(5).
//
//   struct SamplerConfig { int64_t steps = 20; std::string solver = "euler"; };
//   void Visit(Fields& f, SamplerConfig& c) {
//     f("steps", c.steps, "solver steps").Range(1, 10000).Flag("steps");
//     f("solver", c.solver, "how to integrate").OneOf({"euler", "heun"});
//   }
//
// Goals: strict (an unknown or misspelt key never passes), one place per key, no macros.
// Not goals: inheritance, optional keys without a default, comments that survive a round trip.
// Paths, threads, display, ledger and budget are not configuration: they are options (lib/run).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "lib/base/ppm.h"

namespace suffice {

class Fields;

// A list of structs, of which only the owner knows the type.
struct ListAccess {
  std::function<size_t()> size;
  std::function<void(size_t)> resize;
  std::function<Fields(size_t)> element;
};

struct Field {
  using Value = std::variant<bool*, int64_t*, double*, std::string*, Ppm*, std::vector<int64_t>*,
                             std::vector<double>*, std::vector<std::string>*, std::vector<Ppm>*,
                             std::shared_ptr<Fields>, ListAccess>;
  std::string key;
  Value value;
  std::string doc;
  double low = 0, high = 0;  // inclusive, numbers and each number of a list; none if low > high
  std::vector<std::string> choices;
  std::string flag;  // long option that sets it, without dashes; empty: only --set
  std::string unit;

  Field& Range(double lowest, double highest) {
    low = lowest;
    high = highest;
    return *this;
  }
  Field& OneOf(std::vector<std::string> names) {
    choices = std::move(names);
    return *this;
  }
  Field& Flag(std::string name) {
    flag = std::move(name);
    return *this;
  }
  Field& Unit(std::string name) {
    unit = std::move(name);
    return *this;
  }
};

class Fields {
 public:
  template <class T>
  Field& operator()(std::string key, T& value, std::string doc) {
    fields_.push_back({std::move(key), &value, std::move(doc), 1, 0, {}, {}, {}});
    return fields_.back();
  }
  template <class T>
  void Group(std::string key, T& value, std::string doc) {
    auto nested = std::make_shared<Fields>();
    Visit(*nested, value);
    fields_.push_back({std::move(key), std::move(nested), std::move(doc), 1, 0, {}, {}, {}});
  }
  template <class T>
  void List(std::string key, std::vector<T>& values, std::string doc) {
    ListAccess access{[&values] { return values.size(); },
                      [&values](size_t size) { values.resize(size); },
                      [&values](size_t i) {
                        Fields element;
                        Visit(element, values[i]);
                        return element;
                      }};
    fields_.push_back({std::move(key), std::move(access), std::move(doc), 1, 0, {}, {}, {}});
  }

  const std::vector<Field>& all() const { return fields_; }

 private:
  std::vector<Field> fields_;
};

template <class T>
Fields FieldsOf(T& config) {
  Fields fields;
  Visit(fields, config);
  return fields;
}

}  // namespace suffice
