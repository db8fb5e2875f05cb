// SPDX-License-Identifier: Apache-2.0
// cuBLASLt's functions, each passed on to the library, which is loaded when one is first called:
// linked, its size would cost every start of every tool most of a second and 200 MB.
#include <cublasLt.h>
#include <dlfcn.h>

#include <string>

namespace {

void* Library() {
  static void* const library = [] {
    const std::string name = "libcublasLt.so." + std::to_string(CUBLAS_VER_MAJOR);
    for (const std::string& path : {name, "/usr/local/cuda/lib64/" + name}) {
      if (void* found = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) return found;
    }
    return static_cast<void*>(nullptr);
  }();
  return library;
}

template <class Function>
Function Find(const char* name) {
  return Library() == nullptr ? nullptr : reinterpret_cast<Function>(dlsym(Library(), name));
}

}  // namespace

extern "C" {

#define SUFFICE_PASS_ON(name, parameters, arguments)                                 \
  cublasStatus_t CUBLASWINAPI name parameters {                                      \
    static const auto function = Find<decltype(&name)>(#name);                       \
    return function == nullptr ? CUBLAS_STATUS_NOT_INITIALIZED : function arguments; \
  }

SUFFICE_PASS_ON(cublasLtCreate, (cublasLtHandle_t * handle), (handle))
SUFFICE_PASS_ON(cublasLtDestroy, (cublasLtHandle_t handle), (handle))
SUFFICE_PASS_ON(cublasLtMatrixLayoutCreate,
                (cublasLtMatrixLayout_t * layout, cudaDataType type, uint64_t rows,
                 uint64_t columns, int64_t stride),
                (layout, type, rows, columns, stride))
SUFFICE_PASS_ON(cublasLtMatrixLayoutDestroy, (cublasLtMatrixLayout_t layout), (layout))
SUFFICE_PASS_ON(cublasLtMatmulDescCreate,
                (cublasLtMatmulDesc_t * desc, cublasComputeType_t compute, cudaDataType_t scale),
                (desc, compute, scale))
SUFFICE_PASS_ON(cublasLtMatmulDescDestroy, (cublasLtMatmulDesc_t desc), (desc))
SUFFICE_PASS_ON(cublasLtMatmulDescSetAttribute,
                (cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute,
                 const void* value, size_t bytes),
                (desc, attribute, value, bytes))
SUFFICE_PASS_ON(cublasLtMatmulPreferenceCreate, (cublasLtMatmulPreference_t * preference),
                (preference))
SUFFICE_PASS_ON(cublasLtMatmulPreferenceDestroy, (cublasLtMatmulPreference_t preference),
                (preference))
SUFFICE_PASS_ON(cublasLtMatmulPreferenceSetAttribute,
                (cublasLtMatmulPreference_t preference,
                 cublasLtMatmulPreferenceAttributes_t attribute, const void* value, size_t bytes),
                (preference, attribute, value, bytes))
SUFFICE_PASS_ON(cublasLtMatmulAlgoGetHeuristic,
                (cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
                 cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                 cublasLtMatmulPreference_t preference, int wanted,
                 cublasLtMatmulHeuristicResult_t results[], int* found),
                (handle, desc, a, b, c, d, preference, wanted, results, found))
SUFFICE_PASS_ON(cublasLtMatmul,
                (cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void* alpha,
                 const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                 cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                 cublasLtMatrixLayout_t c_layout, void* d, cublasLtMatrixLayout_t d_layout,
                 const cublasLtMatmulAlgo_t* algorithm, void* workspace, size_t workspace_bytes,
                 cudaStream_t stream),
                (handle, desc, alpha, a, a_layout, b, b_layout, beta, c, c_layout, d, d_layout,
                 algorithm, workspace, workspace_bytes, stream))
#undef SUFFICE_PASS_ON

const char* CUBLASWINAPI cublasLtGetStatusString(cublasStatus_t status) {
  static const auto function = Find<decltype(&cublasLtGetStatusString)>("cublasLtGetStatusString");
  return function == nullptr ? "libcublasLt could not be loaded" : function(status);
}

}  // extern "C"
