// SPDX-License-Identifier: Apache-2.0
// Sparsity settings, and the contract that a sparse model carries.
//
// A setting says which blocks attention keeps, everywhere in a model: a default rule with its k and
// p, and exceptions for chosen layers, heads and times. It is a value: two settings are the same if
// their canonical texts are.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kernels/attention.h"
#include "lib/config/fields.h"

namespace suffice {

// One part of a setting. An exception applies where all of its lists that are not empty name the
// place and the time lies in [t_begin, t_end); of several that apply the last wins.
struct SettingRule {
  std::string rule = "hybrid";  // hybrid, topk, topp, dense
  Ppm k{30'000};
  Ppm p{200'000};
  std::vector<int64_t> layers;
  std::vector<int64_t> heads;
  double t_begin = 0;
  double t_end = 2;  // beyond every t: rectified flow's t is in [0, 1]
  bool operator==(const SettingRule&) const = default;
};
void Visit(Fields& f, SettingRule& c);

struct Setting {
  std::string name = "hybrid";
  std::string rule = "hybrid";
  Ppm k{30'000};
  Ppm p{200'000};
  int64_t window = -1;  // tokens around the query block that are always kept; -1: none
  int64_t pin_begin = 0, pin_end = 0;  // key tokens whose blocks are always kept
  std::vector<SettingRule> except;
  bool operator==(const Setting&) const = default;

  bool dense() const;  // dense everywhere
  // YAML of everything but the name: what identity is decided by.
  std::string Canonical() const;
};
void Visit(Fields& f, Setting& c);
Setting DenseSetting();

// What one head of one layer does at one time.
struct HeadRule {
  SelectRule rule = SelectRule::kAll;
  SelectSetting setting;
};
HeadRule RuleAt(const Setting& setting, int64_t layer, int64_t head, double t);

// Fraction of the pairs that a setting is expected to keep: for plans, before anything ran.
double ExpectedDensity(const Setting& setting);

// Throws kUsage, naming `source`, if a rule and its numbers do not fit (p = 0 with top-p, ...),
// names repeat, or a layer or head is outside the model.
void CheckSettings(const std::vector<Setting>& settings, int64_t layers, int64_t heads,
                   const std::string& source);

// A model's contract. It never changes once the file is written. The first setting is the default.
struct Contract {
  int64_t block_q = 128;
  int64_t block_k = 64;
  std::string token_order = "raster";     // raster, tiles
  std::vector<int64_t> tile = {4, 4, 4};  // frames, rows, columns of a tile, in tokens
  std::vector<int64_t> resolution;        // frames, height, width it was trained for
  std::vector<Setting> settings;
  bool operator==(const Contract&) const = default;

  BlockSize block() const { return {static_cast<int>(block_q), static_cast<int>(block_k)}; }
  // The setting of that name, or that is the same but for its name; nothing if none.
  const Setting* Find(const Setting& wanted) const;
  const Setting* FindName(const std::string& name) const;
};
void Visit(Fields& f, Contract& c);

}  // namespace suffice
