// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/select/select_cuda.h"

#include <limits>

#include "kernels/attention_check.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/hopper/scores.h"
#include "kernels/cuda/select/lists.h"
#include "kernels/cuda/select/plan.h"
#include "kernels/cuda/select/pool.h"
#include "kernels/cuda/select/rows.h"
#include "kernels/cuda/select/scores.h"

namespace suffice::cuda {
namespace {

constexpr int64_t kMostThreads = int64_t{1} << 31;  // numbers of threads and lists are 32-bit

std::optional<std::string> PoolSupports(const Context& context, const PoolParams& p) {
  if (auto reason = Validate(context, p)) return reason;
  const int64_t tokens = p.x.dim(2);
  if (p.pooled.dim(2) * p.x.dim(3) >= kMostThreads || p.x.dim(0) * p.x.dim(1) >= kMostThreads ||
      tokens >= kMostThreads) {
    return fmt::format("x: shape {} is larger than this backend counts", ToString(p.x.shape));
  }
  return std::nullopt;
}

void RunPool(Context& context, const PoolParams& p, void*) { LaunchPool(p, StreamOf(context)); }

std::optional<std::string> SelectSupports(const Context& context, const SelectParams& p) {
  if (auto reason = Validate(context, p)) return reason;
  const View& leader = p.k_pooled.empty() ? p.scores : p.q_pooled;
  const int64_t most = std::max(BlockCount(p.n_q, p.block.q), BlockCount(p.n_k, p.block.k));
  if (leader.dim(0) * leader.dim(1) * most >= kMostThreads / 32) {
    return fmt::format("{} heads of {} blocks are more than this backend counts",
                       leader.dim(0) * leader.dim(1), most);
  }
  return std::nullopt;
}

SelectPlan PlanOf(const SelectParams& p, void* workspace) {
  const int dim = p.k_pooled.empty() ? 0 : static_cast<int>(p.q_pooled.dim(3));
  const SelectGeometry g = GeometryOf(p);
  const View& leader = p.k_pooled.empty() ? p.scores : p.q_pooled;
  const auto heads = static_cast<int>(leader.dim(0) * leader.dim(1));
  return SelectPlan(p, ScoreTileRows(dim, heads, g.t_q, g.t_k),
                    ListStates(heads * g.t_q, p.columns.empty() ? 0 : heads * g.t_k), workspace);
}

size_t SelectWorkspace(const Context&, const SelectParams& p) { return PlanOf(p, nullptr).bytes; }

HeadRows HeadRowsOf(const View& v) {
  return {static_cast<float*>(v.data), v.stride(0), v.stride(1), v.stride(2), 0};
}

ScoreArgs ScoreArgsOf(const SelectParams& p, const SelectPlan& plan) {
  ScoreArgs args;
  args.q = HeadRowsOf(p.q_pooled);
  args.k = HeadRowsOf(p.k_pooled);
  args.out_columns = static_cast<int>(std::max<int64_t>(plan.scores_row, plan.geometry.t_k));
  args.geometry = plan.geometry;
  args.heads = plan.heads;
  args.group = plan.group;
  args.dim = static_cast<int>(p.q_pooled.dim(3));
  args.tile_rows = plan.tile_rows;
  args.scale = p.scale;
  return args;
}

RowArgs RowArgsOf(const SelectParams& p, const SelectPlan& plan) {
  RowArgs args;
  args.geometry = plan.geometry;
  args.heads = plan.heads;
  args.rule = p.rule;
  args.setting = p.setting;
  if (p.rule == SelectRule::kMask) {
    args.given = p.given.ptr<uint8_t>();
    args.given_batch = p.given.stride(0);
    args.given_head = p.given.stride(1);
    args.given_row = p.given.stride(2);
  }
  if (!p.settings.empty()) args.settings = p.settings.ptr<int32_t>();
  args.fill = !p.scores.empty();
  args.words = plan.row_words;
  args.counts = plan.row_counts;
  args.clear = plan.states;
  args.clear_count = plan.state_count;
  return args;
}

void RunSelect(Context& context, const SelectParams& p, void* workspace) {
  const SelectPlan plan = PlanOf(p, workspace);
  const cudaStream_t stream = StreamOf(context);
  ScoreArgs score_args;
  if (plan.makes_scores) score_args = ScoreArgsOf(p, plan);
  const bool by_wgmma =
      StateOf(context).path == Path::kHopper && score_args.dim <= hopper::kMostScoreDim;
  const auto launch_scores = by_wgmma ? &hopper::LaunchScores : &LaunchScores;
  RowArgs row_args = RowArgsOf(p, plan);
  int64_t first = 0;
  do {
    const int64_t end = std::min(first + plan.tiles_at_once, plan.all_tiles());
    HeadRows scores;
    if (plan.scores_row > 0) {
      scores.data = plan.scores;
      scores.row = plan.scores_row;
      scores.head = plan.geometry.t_q * scores.row;
      scores.batch = plan.heads * scores.head;
      scores.before = plan.RowOf(first) * scores.row;
    } else if (plan.looks_at_scores) {
      scores = HeadRowsOf(p.scores);
    }
    if (plan.makes_scores && end > first) {
      score_args.out = scores;
      launch_scores(score_args, static_cast<int>(first), static_cast<int>(end),
                    StateOf(context).multiprocessors, stream);
    }
    row_args.scores = scores;
    row_args.first_row = static_cast<int>(plan.RowOf(first));
    row_args.end_row = static_cast<int>(plan.RowOf(end));
    LaunchSelectRows(row_args, stream);
    row_args.clear_count = 0;
    first = end;
  } while (first < plan.all_tiles());

  const ListJob rows = {plan.row_words,
                        plan.row_counts,
                        plan.words_k,
                        static_cast<int>(plan.rows),
                        p.rows.ptr.ptr<int64_t>(),
                        p.rows.ids.ptr<uint16_t>()};
  ListJob columns;
  if (!p.columns.empty()) {
    LaunchTranspose({plan.row_words, plan.column_words, plan.column_counts, plan.batch * plan.heads,
                     plan.geometry.t_q, plan.geometry.t_k},
                    stream);
    columns = {plan.column_words,
               plan.column_counts,
               plan.words_q,
               static_cast<int>(plan.columns),
               p.columns.ptr.ptr<int64_t>(),
               p.columns.ids.ptr<uint16_t>()};
  }
  int32_t* const nan_flag = p.nan_flag.empty() ? nullptr : p.nan_flag.ptr<int32_t>();
  LaunchLists(rows, columns, plan.states, nan_flag, stream);
}

}  // namespace

void AddSelect(Backend& table) {
  table.pool = {&PoolSupports, [](const Context&, const PoolParams&) -> size_t { return 0; },
                &RunPool};
  table.select = {&SelectSupports, &SelectWorkspace, &RunSelect};
}

}  // namespace suffice::cuda
