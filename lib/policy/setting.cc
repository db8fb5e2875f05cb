// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/setting.h"

#include <algorithm>
#include <set>

#include "lib/base/error.h"
#include "lib/config/yaml.h"

namespace suffice {
namespace {

SelectRule ParseRule(const std::string& name) {
  if (name == "hybrid") return SelectRule::kHybrid;
  if (name == "topk") return SelectRule::kTopK;
  if (name == "topp") return SelectRule::kTopP;
  SUFFICE_CHECK(name == "dense");
  return SelectRule::kAll;
}

bool Names(const std::vector<int64_t>& list, int64_t value) {
  return list.empty() || std::find(list.begin(), list.end(), value) != list.end();
}

void CheckRule(const std::string& rule, Ppm k, Ppm p, const std::string& where) {
  if ((rule == "hybrid" || rule == "topp") && p.value == 0) {
    throw UsageError("{}: rule {} wants p above 0", where, rule);
  }
  if (rule == "topk" && k.value == 0) throw UsageError("{}: rule topk wants k above 0", where);
}

}  // namespace

void Visit(Fields& f, SettingRule& c) {
  f("rule", c.rule, "which blocks are kept").OneOf({"hybrid", "topk", "topp", "dense"});
  f("k", c.k, "fraction of a row's allowed blocks that top-k keeps").Range(0, 1);
  f("p", c.p, "fraction of a row's pooled mass that top-p keeps").Range(0, 1);
  f("layers", c.layers, "layers it applies to; none: all").Range(0, 1e6);
  f("heads", c.heads, "heads it applies to; none: all").Range(0, 1e6);
  f("t_begin", c.t_begin, "from this time of the flow on").Range(0, 1);
  f("t_end", c.t_end, "up to, not including, this time").Range(0, 2);
}

void Visit(Fields& f, Setting& c) {
  f("name", c.name, "how reports call it");
  f("rule", c.rule, "which blocks are kept").OneOf({"hybrid", "topk", "topp", "dense"});
  f("k", c.k, "fraction of a row's allowed blocks that top-k keeps").Range(0, 1);
  f("p", c.p, "fraction of a row's pooled mass that top-p keeps").Range(0, 1);
  f("window", c.window, "tokens around the query block always kept; -1: none")
      .Range(-1, 1e9)
      .Unit("tokens");
  f("pin_begin", c.pin_begin, "first key token whose block is always kept").Range(0, 1e9);
  f("pin_end", c.pin_end, "end of the pinned key tokens").Range(0, 1e9);
  f.List("except", c.except,
         "other rules for chosen layers, heads and times; the last that fits wins");
}

Setting DenseSetting() {
  Setting setting;
  setting.name = "dense";
  setting.rule = "dense";
  setting.k = {1'000'000};
  setting.p = {1'000'000};
  return setting;
}

bool Setting::dense() const {
  return rule == "dense" && std::all_of(except.begin(), except.end(),
                                        [](const SettingRule& r) { return r.rule == "dense"; });
}

std::string Setting::Canonical() const {
  if (dense()) return "rule: dense\n";
  Setting copy = *this;
  copy.name = "-";
  return DumpYaml(FieldsOf(copy));
}

HeadRule RuleAt(const Setting& setting, int64_t layer, int64_t head, double t) {
  HeadRule result{ParseRule(setting.rule), {setting.k.value, setting.p.value}};
  for (const SettingRule& rule : setting.except) {
    if (Names(rule.layers, layer) && Names(rule.heads, head) && rule.t_begin <= t &&
        t < rule.t_end) {
      result = {ParseRule(rule.rule), {rule.k.value, rule.p.value}};
    }
  }
  return result;
}

double ExpectedDensity(const Setting& setting) {
  if (setting.dense() || setting.rule == "dense") return 1;
  if (setting.rule == "topk") return setting.k.fraction();
  if (setting.rule == "topp") return setting.p.fraction();
  return std::max(setting.k.fraction(), setting.p.fraction());
}

void CheckSettings(const std::vector<Setting>& settings, int64_t layers, int64_t heads,
                   const std::string& source) {
  std::set<std::string> names;
  for (const Setting& setting : settings) {
    const std::string where = fmt::format("{}: setting '{}'", source, setting.name);
    if (setting.name.empty() || setting.name.find_first_of("\t\n,") != std::string::npos) {
      throw UsageError("{}: a name without tabs, commas and line ends is wanted", where);
    }
    if (!names.insert(setting.name).second) throw UsageError("{}: the name is given twice", where);
    CheckRule(setting.rule, setting.k, setting.p, where);
    if (setting.pin_end < setting.pin_begin)
      throw UsageError("{}: pin_end is before pin_begin", where);
    for (const SettingRule& rule : setting.except) {
      CheckRule(rule.rule, rule.k, rule.p, where);
      for (const int64_t layer : rule.layers) {
        if (layer >= layers)
          throw UsageError("{}: layer {}, the model has {}", where, layer, layers);
      }
      for (const int64_t head : rule.heads) {
        if (head >= heads) throw UsageError("{}: head {}, the model has {}", where, head, heads);
      }
    }
  }
}

const Setting* Contract::Find(const Setting& wanted) const {
  for (const Setting& setting : settings) {
    if (setting.Canonical() == wanted.Canonical()) return &setting;
  }
  return nullptr;
}

const Setting* Contract::FindName(const std::string& name) const {
  for (const Setting& setting : settings) {
    if (setting.name == name) return &setting;
  }
  return nullptr;
}

void Visit(Fields& f, Contract& c) {
  f("block_q", c.block_q, "query tokens in a block").Range(64, 128);
  f("block_k", c.block_k, "key tokens in a block").Range(64, 128);
  f("token_order", c.token_order, "how tokens are laid out in blocks")
      .OneOf({"raster", "tiles", "hilbert"});
  f("tile", c.tile, "frames, rows and columns of a tile, in tokens").Range(1, 1024);
  f("resolution", c.resolution, "frames, height and width it was trained for").Range(1, 1e6);
  f.List("settings", c.settings, "the settings it was trained for; the first is the default");
}

}  // namespace suffice
