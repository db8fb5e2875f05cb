// SPDX-License-Identifier: Apache-2.0
// What is benchmarked: operations, shapes, and the lists of cases of a host and of a GPU.
#pragma once

#include <string>
#include <vector>

#include "kernels/bench/attention_problem.h"

namespace suffice::bench {

enum class AttentionOperation : uint8_t {
  kAttend,          // FLOPs: 4 D kept pairs
  kAttendBackward,  // counted as 2.5 times that, whatever the kernel recomputes
  kSelect,          // the mask: pool q, pool k, score and select into row lists
  kPool,            // its first two steps
  kScoreSelect,     // its last step
  kTranspose,       // column lists: select with them minus select without
  kLayer,           // kSelectFused, then attention over it; FLOPs are those of attention
  kPoolFused,       // pooled q and k out of qk_norm_rope_pool: that with them minus that without
  kSelectFused,     // the mask after that: the same difference, selection included
};
const char* NameOf(AttentionOperation operation);  // "attend", "attend_backward", "select", ...
bool CountsFlops(AttentionOperation operation);
double FlopsPerForward(AttentionOperation operation);  // 1, or 2.5; 0 where none are counted
bool ReadsQAndK(AttentionOperation operation);  // a mask's work whose floor is reading q and k once

struct AttentionBenchCase {
  AttentionOperation operation;
  DType dtype;
  ProblemShape shape;
  SelectRule rule = SelectRule::kTopK;  // of operations that select
};

// operation/dtype/BxHxNxD/density, and what differs from the usual: /64x64, /log-normal, /hybrid.
std::string NameOf(const AttentionBenchCase& c);
std::string ShapeText(const ProblemShape& shape);  // "1x12x32760x128"
const char* NameOf(ListSpread spread);             // "equal", "log-normal", "given"
const char* NameOf(SelectRule rule);               // "topk", "topp", "hybrid"

// FLOPs that are counted, at the density asked for.
double PlannedFlops(const AttentionBenchCase& c);

// On a host: (1, 4, 16384, 128) at 5 % and dense, forward and backward, in bf16 and fp32;
// (1, 8, 4096, 64) dense; and (1, 12, 32760, 128) at 5 % with its selection.
std::vector<AttentionBenchCase> HostAttentionCases();

// On a GPU, bf16: dense and 5 and 10 % kept at (1, 12, 32760, 128), a video of 480p, forward and
// backward, by blocks of other sizes and lists of unequal lengths; dense at (4, 16, 16384, 64); 5 %
// kept at (1, 40, 75600, 128), a video of 720p; and for both videos the mask by the hybrid rule, in
// whole and in parts. Dense cases come first: others are related to them.
std::vector<AttentionBenchCase> DeviceAttentionCases();

// Attention forward and backward in bf16 over a given mask, each after its dense case. `shape` has
// the mask's extents and blocks.
std::vector<AttentionBenchCase> CasesOfMask(ProblemShape shape, HostLists lists);

}  // namespace suffice::bench
