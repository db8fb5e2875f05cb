// SPDX-License-Identifier: Apache-2.0
// The cases that every backend's attention is tested with, and the problems made from them.
// Unselected key blocks hold NaN, list tails hold 0xFFFF, and outputs start as NaN, padding between
// rows included: what a backend must not read shows in its results, what it must write shows if it
// does not.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "lib/tensor/tensor.h"

namespace suffice::testing {

// A backend to test and, for cpu, an instruction set.
struct Target {
  std::string backend;
  std::string isa = "auto";
};
std::vector<Target> AvailableTargets();  // without ref
std::string NameOf(const Target& target);

enum class CaseLists {
  kNone,    // dense: no lists
  kAll,     // lists of every allowed block; the result is that of kNone
  kOne,     // one block a row
  kRandom,  // about a third of the blocks, different in every head
  kHoles,   // the same with every third row empty and one block in four never kept
  kSinks,   // the first row keeps every block, every row keeps the first block
};

struct AttentionCase {
  const char* name;
  int64_t batch, heads, kv_heads, n_q, n_k, dim;
  BlockSize block;
  CaseLists lists;
  bool causal = false;
  float magnitude = 1.0f;  // of q and k
  bool outliers = false;   // one value in a thousand of q, k, v has sigma 10
  bool ties = false;       // only two different keys
  bool strided = false;    // (B, N, H, D + 8) in memory
};
std::span<const AttentionCase> AttentionCases();

// Kept blocks of every (batch, head, query block), row-major, as bytes.
struct CaseMask {
  int64_t rows = 0, t_q = 0, t_k = 0;
  std::vector<uint8_t> keep;
  bool kept(int64_t head, int64_t i, int64_t j) const {
    return keep[static_cast<size_t>((head * t_q + i) * t_k + j)] != 0;
  }
};

// Inputs of one case as plain fp32 arrays, exactly representable in the case's dtype.
struct AttentionProblem {
  AttentionCase shape;
  DType dtype;
  float scale;
  CaseMask mask;
  std::vector<float> q, k, v, d_o;  // contiguous (B, H, N, D)
  bool sees(int64_t query, int64_t key) const {
    return !shape.causal || key <= query + shape.n_k - shape.n_q;
  }
};
AttentionProblem MakeProblem(const AttentionCase& shape, DType dtype);

struct AttentionResult {
  std::vector<float> o, lse, dq, dk, dv;  // contiguous
};

// Runs attend, and attend_backward where wanted, on a context; fails the test if padding was
// written.
AttentionResult RunAttention(Context& context, const AttentionProblem& problem, bool backward);

// The whole of step 4 and 5 without blocks, as one would first write it: scores and sums in the
// problem's own precision (fp32 sums; p and ds rounded to bf16 for bf16). Its error is the
// yardstick at large input scales.
AttentionResult PlainAttention(const AttentionProblem& problem);

// ||a - b|| / max(||b||, floor); infinite if an element of a is not finite where b is, or the other
// way round. The floor is for gradients that cancel to nothing.
double RelativeL2(std::span<const float> a, std::span<const float> b, double floor = 0.0);

// What a gradient of q or k may cancel from: scale ||d_o||.
double GradientFloor(const AttentionProblem& problem);

}  // namespace suffice::testing
