// SPDX-License-Identifier: Apache-2.0
// A linear operation is one product of the library where its own epilogues (bias, GELU, an addend)
// are all that is asked for. A gated one is a product into bf16 and a pass over it. Everything else
// is a product into fp32 sums, of the library or of ours, and a pass over those.
//
// The library adds a bias of the output's type alone. One of another type is converted first, which
// costs a bf16 output no more than the rounding of its own values does.
#include "kernels/cuda/model/linear_cuda.h"

#include "kernels/cuda/carver.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/model/launch_model.h"
#include "kernels/cuda/model/linear.h"
#include "kernels/cuda/model/matmul.h"
#include "kernels/model_ops_check.h"

namespace suffice::cuda {
namespace {

constexpr int64_t kRowMultiple = 8;  // of the values in a row of the workspace: 16 bytes of bf16

int64_t RoundUp(int64_t n) { return (n + kRowMultiple - 1) / kRowMultiple * kRowMultiple; }

// An operand as rows in memory.
struct MemoryRows {
  bool transposed;
  int64_t rows, columns, stride;
  explicit MemoryRows(const View& v)
      : transposed(v.dim(1) > 1 && v.stride(1) != 1),
        rows(v.dim(transposed ? 1 : 0)),
        columns(v.dim(transposed ? 0 : 1)),
        stride(rows > 1 ? v.stride(transposed ? 1 : 0) : RoundUp(columns)) {}
};

// Whether the library takes it: rows that do not overlap, and pairs of bf16 values that no row
// tears apart.
bool Taken(const View& v) {
  const MemoryRows r(v);
  if (r.stride < r.columns) return false;
  if (v.dtype != DType::kBF16) return true;
  return r.columns % 2 == 0 && r.stride % 2 == 0 && AlignmentOf(v.data) >= 4;
}

// Rows of whole pieces of 16 bytes: where the library's epilogues are used.
bool InPieces(const View& v) {
  if (v.empty()) return true;
  const bool vector = v.shape.rank == 1;
  const int64_t columns = v.dim(v.shape.rank - 1);
  const int64_t stride = vector || v.dim(0) <= 1 ? RoundUp(columns) : v.stride(0);
  return AlignmentOf(v.data) >= 16 && columns % kRowMultiple == 0 && stride % kRowMultiple == 0;
}

Matmuls& MatmulsOf(const Context& context) {
  const DeviceState& state = StateOf(context);
  if (state.matmuls == nullptr) state.matmuls = std::make_shared<Matmuls>();
  return *state.matmuls;
}

// How one call is carried out and what it needs. Without a workspace it only counts.
class Plan {
 public:
  Plan(const Context& context, const LinearParams& p, void* workspace)
      : p_(p), workspace_(workspace), m_(p.a.dim(0)), n_(p.b.dim(1)), k_(p.a.dim(1)) {
    if (m_ == 0 || n_ == 0) return;
    if (k_ > 0 && Taken(p.a) && Taken(p.b)) matmuls_ = &MatmulsOf(context);
    if (!InOne() && !Gated()) InSums();
  }
  size_t bytes() const { return bytes_; }

  void Run(cudaStream_t stream) const {
    if (m_ == 0 || n_ == 0) return;
    if (matmul_ != nullptr) {
      if (converts_bias_) {
        const View bias = ContiguousView(const_cast<void*>(operands_.bias), out_type_, {n_});
        LaunchAxpby({.x = p_.bias, .out = bias}, stream);
      }
      matmuls_->Run(*matmul_, operands_, scratch_, stream);
    } else {
      LaunchPlainProduct(p_.a, p_.b, static_cast<float*>(operands_.out), out_stride_, stream);
    }
    if (has_epilogue_) LaunchLinearEpilogue(epilogue_, stream);
  }

 private:
  // The product's own result: a view, or memory of the workspace.
  void SetOut(const View& out) {
    operands_.out = out.data;
    out_stride_ = MemoryRows(out).stride;
    out_type_ = out.dtype;
  }
  template <class T>
  void SetOut(Carver& carver) {
    out_stride_ = RoundUp(n_);
    operands_.out = carver.Take<T>(m_ * out_stride_);
    out_type_ = kDTypeOf<T>;
  }

  // Asks the library, and cuts its scratch from the workspace.
  struct Fused {
    View c;
    bool bias = false, gelu = false;
    View aux;
  };
  bool FindMatmul(Carver carver, const Fused& fused) {
    if (matmuls_ == nullptr) return false;
    const MemoryRows a(p_.a), b(p_.b);
    MatmulShape s;
    s.m = m_;
    s.n = n_;
    s.k = k_;
    s.in = p_.a.dtype;
    s.out = out_type_;
    s.a_transposed = a.transposed;
    s.b_transposed = b.transposed;
    s.gelu = fused.gelu;
    s.a_stride = a.stride;
    s.b_stride = b.stride;
    s.out_stride = out_stride_;
    s.a_alignment = AlignmentOf(p_.a.data);
    s.b_alignment = AlignmentOf(p_.b.data);
    s.out_alignment = AlignmentOf(operands_.out);
    operands_.a = p_.a.data;
    operands_.b = p_.b.data;
    operands_.c = fused.c.data;
    operands_.aux = fused.aux.data;
    if (!fused.c.empty()) {
      s.c_stride = MemoryRows(fused.c).stride;
      s.c_alignment = AlignmentOf(fused.c.data);
    }
    if (!fused.aux.empty()) {
      s.aux_stride = MemoryRows(fused.aux).stride;
      s.aux_alignment = AlignmentOf(fused.aux.data);
    }
    operands_.bias = nullptr;
    converts_bias_ = fused.bias && p_.bias.dtype != out_type_;
    if (fused.bias) {
      operands_.bias = converts_bias_
                           ? carver.Take<char>(n_ * static_cast<int64_t>(SizeOf(out_type_)))
                           : p_.bias.data;
      s.bias_alignment = AlignmentOf(operands_.bias);
    }
    matmul_ = matmuls_->Find(s);
    if (matmul_ == nullptr) return false;
    scratch_ = carver.Take<char>(static_cast<int64_t>(Matmuls::WorkspaceBytes(*matmul_)));
    bytes_ = carver.bytes();
    return true;
  }

  bool BiasFits() const {
    if (p_.bias.empty()) return true;
    return InPieces(p_.out) && (p_.bias.dtype != p_.out.dtype || InPieces(p_.bias));
  }

  // All of it by the library. Its GELU is the tanh form, to bf16's precision.
  bool InOne() {
    const bool gelu = p_.activation == Activation::kGeluTanh;
    if (!BiasFits() || !p_.gate.empty() || !p_.ungated.empty() || !Taken(p_.out)) return false;
    if (p_.activation == Activation::kSilu || (!gelu && !p_.pre_activation.empty())) return false;
    if (gelu && (p_.out.dtype != DType::kBF16 || !p_.residual.empty() || !InPieces(p_.out) ||
                 !InPieces(p_.pre_activation))) {
      return false;
    }
    const View& c = p_.accumulate ? p_.out : p_.residual;
    if (!c.empty() && !Taken(c)) return false;
    SetOut(p_.out);
    return FindMatmul(Carver(workspace_),
                      {.c = c, .bias = !p_.bias.empty(), .gelu = gelu, .aux = p_.pre_activation});
  }

  // The value before the gate is a bf16 tensor of its own, kept or not.
  bool Gated() {
    if ((p_.gate.empty() && p_.ungated.empty()) || p_.out.dtype != DType::kBF16) return false;
    if (p_.activation != Activation::kNone || !p_.pre_activation.empty() || !BiasFits()) {
      return false;
    }
    Carver carver(workspace_);
    if (p_.ungated.empty()) {
      SetOut<BFloat16>(carver);
    } else {
      if (!InPieces(p_.ungated)) return false;
      SetOut(p_.ungated);
    }
    if (!FindMatmul(carver, {.bias = !p_.bias.empty()})) return false;
    SetEpilogue();
    epilogue_.residual = RowsOf(p_.residual);
    epilogue_.gate = RowsOf(p_.gate);
    has_epilogue_ = true;
    return true;
  }

  void InSums() {
    const bool in_out = p_.out.dtype == DType::kF32 && !p_.accumulate &&
                        p_.residual.data != p_.out.data;  // the sums lie where the result will be
    Carver carver(workspace_);
    if (in_out) {
      SetOut(p_.out);
    } else {
      SetOut<float>(carver);
    }
    if (!FindMatmul(carver, {})) bytes_ = carver.bytes();
    SetEpilogue();
    epilogue_.bias = {p_.bias.data, 0, p_.bias.dtype == DType::kBF16};
    epilogue_.pre_activation = RowsOf(p_.pre_activation);
    epilogue_.ungated = RowsOf(p_.ungated);
    epilogue_.gate = RowsOf(p_.gate);
    epilogue_.residual = RowsOf(p_.accumulate ? p_.out : p_.residual);
    epilogue_.activation = p_.activation;
    has_epilogue_ = !in_out || p_.activation != Activation::kNone;
    for (const View* v : {&p_.bias, &p_.pre_activation, &p_.ungated, &p_.gate, &p_.residual}) {
      has_epilogue_ = has_epilogue_ || !v->empty();
    }
  }

  void SetEpilogue() {
    epilogue_.sums = {operands_.out, out_stride_, out_type_ == DType::kBF16};
    epilogue_.out = RowsOf(p_.out);
    epilogue_.rows = m_;
    epilogue_.columns = n_;
    if (!p_.gate.empty()) epilogue_.rows_per_gate = m_ / p_.gate.dim(0);
  }

  const LinearParams& p_;
  void* workspace_;
  int64_t m_, n_, k_;
  Matmuls* matmuls_ = nullptr;      // null: the library does not take the operands
  const Matmul* matmul_ = nullptr;  // null: our own product
  MatmulOperands operands_;
  int64_t out_stride_ = 0;
  DType out_type_ = DType::kF32;
  void* scratch_ = nullptr;
  EpilogueArgs epilogue_;
  bool converts_bias_ = false, has_epilogue_ = false;
  size_t bytes_ = 0;
};

}  // namespace

void AddLinear(Backend& table) {
  table.linear = {
      [](const Context& context, const LinearParams& p) { return Validate(context, p); },
      [](const Context& context, const LinearParams& p) {
        return Plan(context, p, nullptr).bytes();
      },
      [](Context& context, const LinearParams& p, void* workspace) {
        Plan(context, p, workspace).Run(StreamOf(context));
      }};
}

}  // namespace suffice::cuda
