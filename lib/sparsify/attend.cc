// SPDX-License-Identifier: Apache-2.0
// Attention goes group by group of heads: every head is independent, so a stop loses little, a
// resumed run gives the same bytes, and the device holds one group's lists and output at a time.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "lib/base/error.h"
#include "lib/base/philox.h"
#include "lib/sparsify/selection.h"

namespace suffice::sparsify {
namespace {

using Json = nlohmann::ordered_json;

// Rows whose kept mass is measured, drawn without replacement; all if `count` covers them.
std::vector<int64_t> SampledRows(int64_t n, int64_t count, uint64_t seed) {
  std::vector<int64_t> rows(static_cast<size_t>(n));
  std::iota(rows.begin(), rows.end(), 0);
  const int64_t wanted = std::min(n, count);
  for (int64_t i = 0; i < wanted; ++i) {
    const uint64_t bits =
        Philox(seed, static_cast<uint32_t>(Stream::kData), static_cast<uint64_t>(i))[0];
    const auto j = i + static_cast<int64_t>(bits * static_cast<uint64_t>(n - i) >> 32);
    std::swap(rows[static_cast<size_t>(i)], rows[static_cast<size_t>(j)]);
  }
  rows.resize(static_cast<size_t>(wanted));
  std::sort(rows.begin(), rows.end());
  return rows;
}

class Attending {
 public:
  Attending(const AttendConfig& config, RunScope& scope, const TensorReader& reader)
      : config_(config),
        scope_(scope),
        loaded_(config, scope, reader),
        q_(loaded_.shapes().q),
        o_(loaded_.shapes().dtype, q_),
        lse_(DType::kF32, {q_[0], q_[1], q_[2]}),
        mask_(DType::kU8, {q_[0], q_[1], loaded_.t_q(), loaded_.t_k()}) {
    if (!config.exact && config.sample_rows > 0)
      rows_ = SampledRows(q_[2], config.sample_rows, scope.seed());
  }

  void Restore(const TensorReader& checkpoint);
  void Run();
  void Write(TensorWriter* writer) const;
  Report Finish() const;

 private:
  void Attend(size_t group);
  void Save(TensorWriter* writer) const;

  const AttendConfig& config_;
  RunScope& scope_;
  LoadedSelection loaded_;
  const Shape q_;
  std::vector<int64_t> rows_;

  int64_t done_ = 0;  // groups
  HostArray o_, lse_, mask_;
  PairCount pairs_;
  StepSeconds seconds_;
  std::vector<double> mass_;
  ErrorSums error_;
};

void Attending::Attend(size_t index) {
  Context& context = scope_.context();
  const HeadGroup& group = loaded_.groups()[index];
  const LoadedSelection::Part part = loaded_.Attend(index, Wanted::kOutput);
  const AttentionResult& result = part.result;
  loaded_.Place(result.o.ToHost(), group, &o_);
  loaded_.Place(result.lse.ToHost(), group, &lse_);
  loaded_.Place(loaded_.MaskOf(result, group), group, &mask_);
  pairs_ += result.pairs;
  seconds_ += result.seconds;
  if (config_.exact || !rows_.empty()) {
    const std::vector<double> mass = KeptMass(context, part.inputs, result.lse, rows_);
    mass_.insert(mass_.end(), mass.begin(), mass.end());
  }
  if (config_.exact) {
    const AttentionResult dense = RunAttention(
        context, part.inputs, PlanLayer(DenseSetting(), 0, group.end - group.begin, 0));
    error_.Add(result.o.ToHost(), dense.o.ToHost());
  }
}

void Attending::Run() {
  const auto count = static_cast<int64_t>(loaded_.groups().size());
  while (done_ < count) {
    if (scope_.CheckpointDue()) {
      scope_.SaveCheckpoint([&](TensorWriter& writer) { Save(&writer); });
    }
    Attend(static_cast<size_t>(done_));
    ++done_;
    scope_.progress().Step(
        done_, count,
        fmt::format("{} of {} groups of heads, density {:.4f}", done_, count, pairs_.density()));
  }
}

void Attending::Save(TensorWriter* writer) const {
  writer->Attribute("/state", "done", done_);
  writer->Attribute("/state", "kept", pairs_.kept);
  writer->Attribute("/state", "allowed", pairs_.allowed);
  writer->Dataset("/state/seconds", ToArray({seconds_.pool, seconds_.select, seconds_.attend}));
  writer->Dataset("/state/error", ToArray({error_.d1, error_.d2, error_.n1, error_.n2}));
  writer->Dataset("/state/mass", ToArray(mass_));
  writer->Dataset("/state/o", o_);
  writer->Dataset("/state/lse", lse_);
  writer->Dataset("/state/mask", mask_, {.storage = Storage::kPacked, .dims = {}, .dtype = {}});
}

void Attending::Restore(const TensorReader& checkpoint) {
  done_ = checkpoint.IntAttribute("/state", "done").value_or(0);
  pairs_ = {checkpoint.IntAttribute("/state", "kept").value_or(0),
            checkpoint.IntAttribute("/state", "allowed").value_or(0)};
  const auto read = [&](const char* path, const HostArray& like) {
    checkpoint.Require(path, like.dtype(), like.shape(), "the inputs");
    return checkpoint.Read(path);
  };
  o_ = read("/state/o", o_);
  lse_ = read("/state/lse", lse_);
  mask_ = read("/state/mask", mask_);
  mass_ = ToDoubles(checkpoint.Read("/state/mass"));
  const HostArray four(DType::kF64, {4}), three(DType::kF64, {3});
  const std::vector<double> error = ToDoubles(read("/state/error", four));
  const std::vector<double> seconds = ToDoubles(read("/state/seconds", three));
  error_ = {error[0], error[1], error[2], error[3]};
  seconds_ = {seconds[0], seconds[1], seconds[2]};
}

void Attending::Write(TensorWriter* writer) const {
  writer->Dataset(
      "/o", o_,
      {.storage = Storage::kMapped, .dims = {"batch", "head", "token", "channel"}, .dtype = {}});
  writer->Dataset("/lse", lse_,
                  {.storage = Storage::kMapped, .dims = {"batch", "head", "token"}, .dtype = {}});
  loaded_.WriteMask(writer, mask_, pairs_);
}

Report Attending::Finish() const {
  const double gflop = 4e-9 * static_cast<double>(q_[3]) * static_cast<double>(pairs_.kept);
  Report report;
  report.text = fmt::format(
      "density {:.6f} ({}), sparsity {:.4f}\n{:.4g} GFLOP (4 D x kept pairs), attend {:.4f} s = "
      "{:.1f} GFLOP/s, pool {:.4f} s, select {:.4f} s\n",
      pairs_.density(), kDensityFormula, 1 - pairs_.density(), gflop, seconds_.attend,
      gflop / seconds_.attend, seconds_.pool, seconds_.select);
  Json json = {
      {"density", pairs_.density()},
      {"density_formula", kDensityFormula},
      {"gflop", gflop},
      {"seconds",
       {{"pool", seconds_.pool}, {"select", seconds_.select}, {"attend", seconds_.attend}}}};
  if (!mass_.empty()) {
    const MassSummary summary = Summarize(mass_);
    report.text += fmt::format("kept mass of {} rows: mean {:.6f}, p10 {:.6f}, min {:.6f}\n",
                               mass_.size(), summary.mean, summary.p10, summary.min);
    json["kept_mass"] = {
        {"rows", mass_.size()}, {"mean", summary.mean}, {"p10", summary.p10}, {"min", summary.min}};
  }
  if (config_.exact) {
    report.text += fmt::format("error against dense: relative L1 {:.6g}, L2 {:.6g}\n", error_.l1(),
                               error_.l2());
    json["error"] = {{"relative_l1", error_.l1()}, {"relative_l2", error_.l2()}};
  }
  report.json = json.dump() + "\n";
  report.facts = {{"density", fmt::format("{:.6f}", pairs_.density())}};
  return report;
}

}  // namespace

Report Attend(const AttendConfig& config, RunScope& scope) {
  const TensorReader reader(scope.Input("qkv"));
  const InputShapes shapes = CheckInputs(reader, config.at);
  CheckSelection(config, scope);
  const auto checkpoint = scope.OpenCheckpoint();
  const int64_t done = checkpoint ? checkpoint->IntAttribute("/state", "done").value_or(0) : 0;
  if (!scope.Begin(PlanSelection(config, shapes, HeadsLeft(config, shapes, done)))) return {};
  Attending attending(config, scope, reader);
  if (checkpoint) attending.Restore(*checkpoint);
  attending.Run();
  TensorWriter writer = scope.NewFile(EncodingType::kMask);
  attending.Write(&writer);
  scope.Commit(std::move(writer));
  return attending.Finish();
}

}  // namespace suffice::sparsify
