// SPDX-License-Identifier: Apache-2.0
// Matrix products by oneDNN's matmul primitive, each on the calling thread alone.
#include "kernels/cpu/gemm.h"

#ifdef SUFFICE_HAVE_ONEDNN

#include <oneapi/dnnl/dnnl.h>

// Debian's oneDNN runs on libgomp, whose team size belongs to the calling thread.
extern "C" {
int omp_get_max_threads(void);
void omp_set_num_threads(int);
}

namespace suffice::cpu {
namespace {

void Require(dnnl_status_t status, const char* what) {
  if (status != dnnl_success) {
    throw RunError("oneDNN: {}: status {}", what, static_cast<int>(status));
  }
}

// Within its scope OpenMP teams started by this thread have one member; a program that embeds the
// library keeps its own setting outside.
class OneOmpThread {
 public:
  OneOmpThread() : before_(omp_get_max_threads()) {
    if (before_ != 1) omp_set_num_threads(1);
  }
  ~OneOmpThread() {
    if (before_ != 1) omp_set_num_threads(before_);
  }
  OneOmpThread(const OneOmpThread&) = delete;
  OneOmpThread& operator=(const OneOmpThread&) = delete;

 private:
  int before_;
};

dnnl_engine_t Engine() {
  static const dnnl_engine_t engine = [] {
    dnnl_engine_t made = nullptr;
    Require(dnnl_engine_create(&made, dnnl_cpu, 0), "engine");
    return made;
  }();
  return engine;
}

struct ThreadStream {
  dnnl_stream_t stream = nullptr;
  ThreadStream() {
    Require(dnnl_stream_create(&stream, Engine(), dnnl_stream_default_flags), "stream");
  }
  ~ThreadStream() { dnnl_stream_destroy(stream); }
  ThreadStream(const ThreadStream&) = delete;
  ThreadStream& operator=(const ThreadStream&) = delete;
};

class Memory {
 public:
  Memory(const dnnl_memory_desc_t& desc, const void* data) {
    Require(dnnl_memory_create(&memory_, &desc, Engine(), const_cast<void*>(data)), "memory");
  }
  ~Memory() { dnnl_memory_destroy(memory_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  operator dnnl_memory_t() const { return memory_; }  // NOLINT: stands for its handle

 private:
  dnnl_memory_t memory_ = nullptr;
};

dnnl_memory_desc_t Describe(int64_t rows, int64_t columns, int64_t row, int64_t column,
                            DType dtype) {
  const dnnl_dims_t dims = {rows, columns};
  const dnnl_dims_t strides = {row, column};
  dnnl_memory_desc_t desc;
  Require(dnnl_memory_desc_init_by_strides(&desc, 2, dims,
                                           dtype == DType::kBF16 ? dnnl_bf16 : dnnl_f32, strides),
          "memory descriptor");
  return desc;
}

class OneDnnGemm : public Gemm {
 public:
  explicit OneDnnGemm(const GemmShape& s)
      : a_(Describe(s.m, s.k, s.a_row, s.a_column, s.in)),
        b_(Describe(s.k, s.n, s.b_row, s.b_column, s.in)),
        c_(Describe(s.m, s.n, s.c_row, 1, s.out)) {
    const OneOmpThread one_thread;
    dnnl_matmul_desc_t product;
    Require(dnnl_matmul_desc_init(&product, &a_, &b_, nullptr, &c_), "matmul");
    dnnl_primitive_attr_t attributes = nullptr;
    dnnl_post_ops_t post_ops = nullptr;
    dnnl_primitive_desc_t desc = nullptr;
    Require(dnnl_primitive_attr_create(&attributes), "attributes");
    Require(dnnl_post_ops_create(&post_ops), "post-ops");
    Require(dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user),
            "scratchpad");
    if (s.accumulate) Require(dnnl_post_ops_append_sum(post_ops, 1.0f), "post-op");
    Require(dnnl_primitive_attr_set_post_ops(attributes, post_ops), "post-ops");
    Require(dnnl_primitive_desc_create(&desc, &product, attributes, Engine(), nullptr), "matmul");
    Require(dnnl_primitive_create(&primitive_, desc), "matmul");
    scratch_ = *dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0);
    dnnl_primitive_desc_destroy(desc);
    dnnl_post_ops_destroy(post_ops);
    dnnl_primitive_attr_destroy(attributes);
  }
  ~OneDnnGemm() override { dnnl_primitive_destroy(primitive_); }

  size_t scratch_bytes() const override { return dnnl_memory_desc_get_size(&scratch_); }

  void Run(const void* a, const void* b, void* c, void* scratch) const override {
    thread_local const ThreadStream stream;
    const OneOmpThread one_thread;
    const Memory a_memory(a_, a), b_memory(b_, b), c_memory(c_, c),
        scratch_memory(scratch_, scratch);
    const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, a_memory},
                                         {DNNL_ARG_WEIGHTS, b_memory},
                                         {DNNL_ARG_DST, c_memory},
                                         {DNNL_ARG_SCRATCHPAD, scratch_memory}};
    Require(dnnl_primitive_execute(primitive_, stream.stream, 4, arguments), "matmul");
  }

 private:
  dnnl_memory_desc_t a_, b_, c_, scratch_;
  dnnl_primitive_t primitive_ = nullptr;
};

}  // namespace

namespace internal {

// oneDNN chooses its instructions once for a whole process: the first context's set it is, so that
// a result's set is the one its file names. Contexts of another set take the portable loops.
bool OneDnnUsable(CpuIsa isa) {
  if (isa == CpuIsa::kPortable) return false;
  static const CpuIsa taken = [isa] {
    const dnnl_cpu_isa_t most = isa == CpuIsa::kAvx2     ? dnnl_cpu_isa_avx2
                                : isa == CpuIsa::kAvx512 ? dnnl_cpu_isa_avx512_core
                                                         : dnnl_cpu_isa_avx512_core_bf16;
    Require(dnnl_set_max_cpu_isa(most), "instruction set");
    return isa;
  }();
  return taken == isa;
}
std::shared_ptr<const Gemm> MakeOneDnnGemm(const GemmShape& shape) {
  return std::make_shared<OneDnnGemm>(shape);
}
std::string OneDnnVersion() {
  const dnnl_version_t& v = *dnnl_version();
  return fmt::format("{}.{}.{}", v.major, v.minor, v.patch);
}

}  // namespace internal
}  // namespace suffice::cpu

#else

namespace suffice::cpu::internal {

bool OneDnnUsable(CpuIsa) { return false; }
std::shared_ptr<const Gemm> MakeOneDnnGemm(const GemmShape&) { return nullptr; }
std::string OneDnnVersion() { return ""; }

}  // namespace suffice::cpu::internal

#endif
