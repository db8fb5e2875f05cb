// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/gemm.h"

#include <cstring>
#include <map>
#include <mutex>

#include "kernels/cpu/row_kernels.h"

namespace suffice::cpu {
namespace {

// Four rows of c at a time, b's rows streamed through them; a b stored by columns is packed first.
class PortableGemm : public Gemm {
 public:
  PortableGemm(const GemmShape& shape, const RowKernels& kernels) : s_(shape), kernels_(kernels) {
    SUFFICE_CHECK(s_.in == DType::kF32 && s_.out == DType::kF32);
  }
  size_t scratch_bytes() const override {
    const int64_t floats = (packs() ? s_.k * s_.n : 0) + 4 * s_.n;
    return static_cast<size_t>(floats) * sizeof(float);
  }
  void Run(const void* a_, const void* b_, void* c_, void* scratch) const override {
    const float* a = static_cast<const float*>(a_);
    const float* b = static_cast<const float*>(b_);
    float* c = static_cast<float*>(c_);
    float* rows = static_cast<float*>(scratch);
    int64_t b_row = s_.b_row;
    if (packs()) {
      float* packed = rows + 4 * s_.n;
      for (int64_t j = 0; j < s_.n; ++j) {
        for (int64_t l = 0; l < s_.k; ++l) {
          packed[l * s_.n + j] = b[l * s_.b_row + j * s_.b_column];
        }
      }
      b = packed;
      b_row = s_.n;
    }
    const size_t row_bytes = static_cast<size_t>(s_.n) * sizeof(float);
    for (int64_t i = 0; i < s_.m; i += 4) {
      const int64_t count = std::min<int64_t>(4, s_.m - i);
      std::memset(rows, 0, 4 * row_bytes);
      for (int64_t r = 0; s_.accumulate && r < count; ++r) {
        std::memcpy(rows + r * s_.n, c + (i + r) * s_.c_row, row_bytes);
      }
      for (int64_t l = 0; l < s_.k; ++l) {
        float column[4] = {};
        for (int64_t r = 0; r < count; ++r) column[r] = a[(i + r) * s_.a_row + l * s_.a_column];
        kernels_.add_outer(s_.n, column, b + l * b_row, rows, s_.n);
      }
      for (int64_t r = 0; r < count; ++r) {
        std::memcpy(c + (i + r) * s_.c_row, rows + r * s_.n, row_bytes);
      }
    }
  }

 private:
  bool packs() const { return s_.n > 1 && s_.b_column != 1; }
  GemmShape s_;
  const RowKernels& kernels_;
};

const RowKernels& KernelsOf(CpuIsa isa) {
#if defined(__x86_64__)
  if (isa >= CpuIsa::kAvx512) return RowKernelsAvx512();
  if (isa >= CpuIsa::kAvx2) return RowKernelsAvx2();
#endif
  return RowKernelsPortable();
}

}  // namespace

bool GemmTakesBf16(CpuIsa isa) { return isa >= CpuIsa::kAvx512 && internal::OneDnnUsable(isa); }

std::shared_ptr<const Gemm> FindGemm(const GemmShape& shape, CpuIsa isa) {
  static std::mutex mutex;
  static std::map<std::pair<CpuIsa, GemmShape>, std::shared_ptr<const Gemm>> known;
  const std::lock_guard lock(mutex);
  std::shared_ptr<const Gemm>& gemm = known[{isa, shape}];
  if (gemm == nullptr) {
    if (internal::OneDnnUsable(isa)) {
      gemm = internal::MakeOneDnnGemm(shape);
    } else {
      gemm = std::make_shared<PortableGemm>(shape, KernelsOf(isa));
    }
  }
  return gemm;
}

std::string DescribeGemm() {
  const std::string version = internal::OneDnnVersion();
  return version.empty() ? "oneDNN none (portable loops)" : "oneDNN " + version;
}

}  // namespace suffice::cpu
