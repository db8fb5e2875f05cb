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

std::string RowsOf(const SweepCase& what) {
  return what.group == 0 ? "all" : fmt::format("{}/{}", what.group, what.groups);
}

}  // namespace

SweepTable::SweepTable(const std::vector<std::string>& orders, const std::vector<SweepCase>& cases,
                       int64_t begin, int64_t end)
    : cases_(cases.size()), begin_(static_cast<size_t>(begin)) {
  for (auto i = begin_; i < static_cast<size_t>(end); ++i) {
    SweepRow& row = rows_.emplace_back();
    row.order = orders[i / cases_];
    row.what = cases[i % cases_];
  }
}

bool SweepTable::Wants(size_t order, size_t index) const {
  const size_t i = order * cases_ + index;
  return i >= begin_ && i < begin_ + rows_.size();
}

SweepRow& SweepTable::row(size_t order, size_t index) {
  SUFFICE_CHECK(Wants(order, index));
  return rows_[order * cases_ + index - begin_];
}

std::string SweepTable::Header() {
  return "order\trule\tk\tp\tscores\trows\tentropy\tdensity\trel_l1\trel_l2\tmass_mean\tmass_p10\t"
         "mass_min\tseconds\tdense_seconds\n";
}

void SweepTable::Save(TensorWriter* writer) const {
  for (size_t i = 0; i < rows_.size(); ++i) {
    const SweepRow& row = rows_[i];
    writer->Attribute(At(i), "kept", row.pairs.kept);
    writer->Attribute(At(i), "allowed", row.pairs.allowed);
    writer->Attribute(At(i), "seconds", row.seconds);
    writer->Attribute(At(i), "dense-seconds", row.dense_seconds);
    writer->Attribute(At(i), "entropy", row.entropy);
    writer->Attribute(At(i), "block-rows", row.block_rows);
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
    row.entropy = checkpoint.FloatAttribute(At(i), "entropy").value_or(0);
    row.block_rows = checkpoint.IntAttribute(At(i), "block-rows").value_or(0);
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
    const Setting& s = r.what.setting;
    tsv += fmt::format("{}\t{}\t{}\t{}\t{}\t{}\t{}\t{:.6f}\t{:.6g}\t{:.6g}\t{:.6f}\t{:.6f}\t{:.6f}",
                       r.order, s.rule, s.rule == "topp" ? "-" : ToString(s.k),
                       s.rule == "topk" ? "-" : ToString(s.p), r.what.scores, RowsOf(r.what),
                       r.block_rows > 0 ? fmt::format("{:.6f}", r.mean_entropy()) : "-",
                       r.pairs.density(), Mean(r.l1), Mean(r.l2), mass.mean, mass.p10, mass.min);
    tsv += fmt::format("\t{:.6g}\t{:.6g}\n", r.seconds, r.dense_seconds);
  }
  return tsv;
}

std::string SweepTable::Json() const {
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const SweepRow& r : rows_) {
    const MassSummary mass = Summarize(r.mass);
    json.push_back({{"order", r.order},
                    {"setting", r.what.setting.name},
                    {"scores", r.what.scores},
                    {"rows", RowsOf(r.what)},
                    {"density", r.pairs.density()},
                    {"relative_l1", Mean(r.l1)},
                    {"relative_l2", Mean(r.l2)},
                    {"kept_mass", {{"mean", mass.mean}, {"p10", mass.p10}, {"min", mass.min}}},
                    {"seconds", r.seconds},
                    {"dense_seconds", r.dense_seconds}});
    if (r.block_rows > 0) json.back()["entropy"] = r.mean_entropy();
  }
  return json.dump() + "\n";
}

}  // namespace suffice::sparsify
