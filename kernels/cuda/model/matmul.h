// SPDX-License-Identifier: Apache-2.0
// Matrix products by cuBLASLt. What the library chooses for a product is asked once and kept: a
// context has one set of choices.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>

#include "lib/base/dtype.h"

namespace suffice::cuda {

// out (M, N) = a b + c + bias, then GELU; of each the memory's row stride. aux: where the argument
// of GELU goes.
struct MatmulShape {
  int64_t m = 0, n = 0, k = 0;
  DType in = DType::kF32, out = DType::kF32;        // out: also of c, bias and aux
  bool a_transposed = false, b_transposed = false;  // memory holds rows of (K, M), of (N, K)
  bool gelu = false;
  int64_t a_stride = 0, b_stride = 0, c_stride = 0, out_stride = 0, aux_stride = 0;
  // What the addresses are multiples of, in bytes, to 256; 0: not there (c, bias, aux).
  int a_alignment = 0, b_alignment = 0, c_alignment = 0, out_alignment = 0;
  int bias_alignment = 0, aux_alignment = 0;
  auto operator<=>(const MatmulShape&) const = default;
};

struct MatmulOperands {
  const void *a = nullptr, *b = nullptr, *c = nullptr, *bias = nullptr;
  void *out = nullptr, *aux = nullptr;
};

class Matmul;

class Matmuls {
 public:
  Matmuls();
  ~Matmuls();
  Matmuls(const Matmuls&) = delete;
  Matmuls& operator=(const Matmuls&) = delete;

  // Null: the library has no such product.
  const Matmul* Find(const MatmulShape& shape);
  static size_t WorkspaceBytes(const Matmul& matmul);
  void Run(const Matmul& matmul, const MatmulOperands& operands, void* workspace,
           cudaStream_t stream) const;

 private:
  cublasLtHandle_t handle_ = nullptr;
  std::map<MatmulShape, std::unique_ptr<Matmul>> known_;
};

// The largest power of two, to 256, that divides an address. Of null, which stands for memory that
// is still to come from an allocation: 256.
int AlignmentOf(const void* address);

}  // namespace suffice::cuda
