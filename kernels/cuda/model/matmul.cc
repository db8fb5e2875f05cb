// SPDX-License-Identifier: Apache-2.0
// cuBLASLt thinks in columns: it is asked for out^T (N, M) = b^T a^T, whose columns are our rows.
#include "kernels/cuda/model/matmul.h"

#include <algorithm>

#include "lib/base/error.h"

namespace suffice::cuda {
namespace {

constexpr size_t kMostWorkspace = size_t{32} << 20;  // as NVIDIA advises for Hopper
constexpr int kAsked = 8;                            // choices

void Check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw RunError("cuda: linear: {}: {}", what, cublasLtGetStatusString(status));
}

cudaDataType_t TypeOf(DType dtype) { return dtype == DType::kBF16 ? CUDA_R_16BF : CUDA_R_32F; }

// Descriptions are the library's own objects.
template <class Handle, cublasStatus_t (*kDestroy)(Handle)>
struct Owned {
  Handle handle = nullptr;
  Owned() = default;
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() {
    if (handle != nullptr) kDestroy(handle);
  }
};
using Description = Owned<cublasLtMatmulDesc_t, &cublasLtMatmulDescDestroy>;
using Layout = Owned<cublasLtMatrixLayout_t, &cublasLtMatrixLayoutDestroy>;
using Preference = Owned<cublasLtMatmulPreference_t, &cublasLtMatmulPreferenceDestroy>;

template <class T>
void Set(const Description& d, cublasLtMatmulDescAttributes_t attribute, const T& value) {
  Check(cublasLtMatmulDescSetAttribute(d.handle, attribute, &value, sizeof(value)), "description");
}
template <class T>
void Set(const Preference& p, cublasLtMatmulPreferenceAttributes_t attribute, const T& value) {
  Check(cublasLtMatmulPreferenceSetAttribute(p.handle, attribute, &value, sizeof(value)),
        "preference");
}

void Create(Layout& layout, DType dtype, int64_t rows, int64_t columns, int64_t stride) {
  Check(cublasLtMatrixLayoutCreate(&layout.handle, TypeOf(dtype), static_cast<uint64_t>(rows),
                                   static_cast<uint64_t>(columns), stride),
        "layout");
}

cublasLtEpilogue_t EpilogueOf(const MatmulShape& s) {
  const bool bias = s.bias_alignment > 0, aux = s.aux_alignment > 0;
  if (!s.gelu) return bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
  if (aux) return bias ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX;
  return bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
}

// An address of this alignment and no greater one: choices are made for alignments alone.
const void* Example(int alignment) {
  return reinterpret_cast<const void*>((uintptr_t{1} << 20) + static_cast<uintptr_t>(alignment));
}

}  // namespace

class Matmul {
 public:
  Description description;
  Layout first, second, out;  // b, a, out
  Layout own_addend;          // c, where its rows lie otherwise than those of out
  cublasLtMatmulAlgo_t algorithm{};
  size_t workspace = 0;
  bool adds = false;

  cublasLtMatrixLayout_t addend() const {
    return own_addend.handle == nullptr ? out.handle : own_addend.handle;
  }

  // Whether the library has an algorithm.
  bool Choose(cublasLtHandle_t handle, const MatmulShape& s) {
    Check(cublasLtMatmulDescCreate(&description.handle, CUBLAS_COMPUTE_32F, CUDA_R_32F),
          "description");
    const cublasOperation_t kept = CUBLAS_OP_N, transposed = CUBLAS_OP_T;
    Set(description, CUBLASLT_MATMUL_DESC_TRANSA, s.b_transposed ? transposed : kept);
    Set(description, CUBLASLT_MATMUL_DESC_TRANSB, s.a_transposed ? transposed : kept);
    Set(description, CUBLASLT_MATMUL_DESC_EPILOGUE, EpilogueOf(s));
    if (s.bias_alignment > 0) {
      Set(description, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, static_cast<int32_t>(TypeOf(s.out)));
      Set(description, CUBLASLT_MATMUL_DESC_BIAS_POINTER, Example(s.bias_alignment));
    }
    if (s.aux_alignment > 0) {
      Set(description, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, s.aux_stride);
      Set(description, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, Example(s.aux_alignment));
    }
    Create(first, s.in, s.b_transposed ? s.k : s.n, s.b_transposed ? s.n : s.k, s.b_stride);
    Create(second, s.in, s.a_transposed ? s.m : s.k, s.a_transposed ? s.k : s.m, s.a_stride);
    adds = s.c_alignment > 0;
    Create(out, s.out, s.n, s.m, s.out_stride);
    if (adds && s.c_stride != s.out_stride) Create(own_addend, s.out, s.n, s.m, s.c_stride);

    Preference preference;
    Check(cublasLtMatmulPreferenceCreate(&preference.handle), "preference");
    Set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kMostWorkspace);
    // Parts of a sum meet in fp32 and in a fixed order, or are never split.
    Set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
        static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
    const auto align = [&](cublasLtMatmulPreferenceAttributes_t attribute, int bytes) {
      Set(preference, attribute, static_cast<uint32_t>(bytes));
    };
    align(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, s.b_alignment);
    align(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, s.a_alignment);
    align(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, adds ? s.c_alignment : s.out_alignment);
    align(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, s.out_alignment);

    cublasLtMatmulHeuristicResult_t found[kAsked];
    int count = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
        handle, description.handle, first.handle, second.handle, addend(), out.handle,
        preference.handle, kAsked, found, &count);
    if (status != CUBLAS_STATUS_NOT_SUPPORTED && status != CUBLAS_STATUS_INVALID_VALUE) {
      Check(status, "choice of an algorithm");
    }
    for (int i = 0; status == CUBLAS_STATUS_SUCCESS && i < count; ++i) {
      if (found[i].state != CUBLAS_STATUS_SUCCESS) continue;
      algorithm = found[i].algo;
      workspace = found[i].workspaceSize;
      return true;
    }
    return false;
  }
};

Matmuls::Matmuls() { Check(cublasLtCreate(&handle_), "cuBLASLt"); }

Matmuls::~Matmuls() {
  known_.clear();
  cublasLtDestroy(handle_);
}

const Matmul* Matmuls::Find(const MatmulShape& shape) {
  const auto known = known_.find(shape);
  if (known != known_.end()) return known->second.get();
  auto matmul = std::make_unique<Matmul>();
  if (!matmul->Choose(handle_, shape)) matmul.reset();
  return known_.emplace(shape, std::move(matmul)).first->second.get();
}

size_t Matmuls::WorkspaceBytes(const Matmul& matmul) { return matmul.workspace; }

void Matmuls::Run(const Matmul& matmul, const MatmulOperands& operands, void* workspace,
                  cudaStream_t stream) const {
  if (operands.bias != nullptr) {
    Set(matmul.description, CUBLASLT_MATMUL_DESC_BIAS_POINTER, operands.bias);
  }
  if (operands.aux != nullptr) {
    Set(matmul.description, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, operands.aux);
  }
  const float one = 1.0f, beta = matmul.adds ? 1.0f : 0.0f;
  Check(cublasLtMatmul(handle_, matmul.description.handle, &one, operands.b, matmul.first.handle,
                       operands.a, matmul.second.handle, &beta,
                       matmul.adds ? operands.c : operands.out, matmul.addend(), operands.out,
                       matmul.out.handle, &matmul.algorithm, workspace, matmul.workspace, stream),
        "product");
}

int AlignmentOf(const void* address) {
  const auto bits = reinterpret_cast<uintptr_t>(address);
  return bits == 0 ? 256 : static_cast<int>(std::min<uintptr_t>(bits & (~bits + 1), 256));
}

}  // namespace suffice::cuda
