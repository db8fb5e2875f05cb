// SPDX-License-Identifier: Apache-2.0
#include "lib/sparsify/sweep_table.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "lib/base/error.h"
#include "lib/sparsify/inputs.h"
#include "lib/stats/inference.h"

namespace suffice::sparsify {
namespace {

std::string At(size_t row) { return fmt::format("/state/rows/{}", row); }

}  // namespace

SweepTable::SweepTable(const std::vector<std::string>& orders, const std::vector<Setting>& settings,
                       int64_t begin, int64_t end)
    : settings_(settings.size()), begin_(static_cast<size_t>(begin)) {
  for (auto i = begin_; i < static_cast<size_t>(end); ++i) {
    rows_.push_back({orders[i / settings_], settings[i % settings_], {}, {}, {}, {}, 0, 0});
  }
}

bool SweepTable::Wants(size_t order, size_t setting) const {
  const size_t i = order * settings_ + setting;
  return i >= begin_ && i < begin_ + rows_.size();
}

SweepRow& SweepTable::row(size_t order, size_t setting) {
  SUFFICE_CHECK(Wants(order, setting));
  return rows_[order * settings_ + setting - begin_];
}

std::string SweepTable::Header() {
  return "order\trule\tk\tp\tdensity\trel_l1\trel_l2\tmass_mean\tmass_p10\tmass_min\tseconds\t"
         "dense_seconds\n";
}

void SweepTable::Save(TensorWriter* writer) const {
  for (size_t i = 0; i < rows_.size(); ++i) {
    const SweepRow& row = rows_[i];
    writer->Attribute(At(i), "kept", row.pairs.kept);
    writer->Attribute(At(i), "allowed", row.pairs.allowed);
    writer->Attribute(At(i), "seconds", row.seconds);
    writer->Attribute(At(i), "dense-seconds", row.dense_seconds);
    if (row.l1.empty()) continue;
    writer->Dataset(At(i) + "/l1", ToArray(row.l1));
    writer->Dataset(At(i) + "/l2", ToArray(row.l2));
    writer->Dataset(At(i) + "/mass", ToArray(row.mass));
  }
}

void SweepTable::Load(const TensorReader& checkpoint) {
  for (size_t i = 0; i < rows_.size(); ++i) {
    SweepRow& row = rows_[i];
    row.pairs = {checkpoint.IntAttribute(At(i), "kept").value_or(0),
                 checkpoint.IntAttribute(At(i), "allowed").value_or(0)};
    row.seconds = checkpoint.FloatAttribute(At(i), "seconds").value_or(0);
    row.dense_seconds = checkpoint.FloatAttribute(At(i), "dense-seconds").value_or(0);
    if (!checkpoint.Has(At(i) + "/l1")) continue;
    row.l1 = ToDoubles(checkpoint.Read(At(i) + "/l1"));
    row.l2 = ToDoubles(checkpoint.Read(At(i) + "/l2"));
    row.mass = ToDoubles(checkpoint.Read(At(i) + "/mass"));
  }
}

std::string SweepTable::Tsv() const {
  std::string tsv = Header();
  for (const SweepRow& r : rows_) {
    const MassSummary mass = Summarize(r.mass);
    tsv += fmt::format(
        "{}\t{}\t{}\t{}\t{:.6f}\t{:.6g}\t{:.6g}\t{:.6f}\t{:.6f}\t{:.6f}\t{:.6g}\t{:.6g}\n", r.order,
        r.setting.rule, r.setting.rule == "topp" ? "-" : ToString(r.setting.k),
        r.setting.rule == "topk" ? "-" : ToString(r.setting.p), r.pairs.density(), Mean(r.l1),
        Mean(r.l2), mass.mean, mass.p10, mass.min, r.seconds, r.dense_seconds);
  }
  return tsv;
}

std::string SweepTable::Json() const {
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const SweepRow& r : rows_) {
    const MassSummary mass = Summarize(r.mass);
    json.push_back({{"order", r.order},
                    {"setting", r.setting.name},
                    {"density", r.pairs.density()},
                    {"relative_l1", Mean(r.l1)},
                    {"relative_l2", Mean(r.l2)},
                    {"kept_mass", {{"mean", mass.mean}, {"p10", mass.p10}, {"min", mass.min}}},
                    {"seconds", r.seconds},
                    {"dense_seconds", r.dense_seconds}});
  }
  return json.dump() + "\n";
}

}  // namespace suffice::sparsify
