// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "kernels/ref/access.h"
#include "kernels/ref/model_ops_ref.h"

namespace suffice::ref {
namespace {

double Activate(Activation activation, double x) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kGeluTanh:
      return 0.5 * x * (1.0 + std::tanh(kGeluScale * (x + kGeluCubic * x * x * x)));
    case Activation::kSilu:
      return x * Sigmoid(x);
  }
  return x;
}

double ActivateDerivative(Activation activation, double x) {
  switch (activation) {
    case Activation::kNone:
      return 1.0;
    case Activation::kGeluTanh: {
      const double t = std::tanh(kGeluScale * (x + kGeluCubic * x * x * x));
      return 0.5 * (1.0 + t) +
             0.5 * x * (1.0 - t * t) * kGeluScale * (1.0 + 3.0 * kGeluCubic * x * x);
    }
    case Activation::kSilu:
      return Sigmoid(x) * (1.0 + x * (1.0 - Sigmoid(x)));
  }
  return 1.0;
}

// A matrix's rows one after the other: what is read many times is looked up and converted once.
std::vector<double> InDouble(const View& v) {
  std::vector<double> out;
  out.reserve(static_cast<size_t>(v.shape.elements()));
  for (int64_t i = 0; i < v.dim(0); ++i) {
    for (int64_t j = 0; j < v.dim(1); ++j) out.push_back(Get(v, {i, j}));
  }
  return out;
}

void Linear(Context&, const LinearParams& p, void*) {
  const int64_t m = p.a.dim(0), k = p.a.dim(1), n = p.b.dim(1);
  const int64_t rows_per_gate = p.gate.empty() ? 1 : m / p.gate.dim(0);
  const std::vector<double> all_a = InDouble(p.a), all_b = InDouble(p.b);
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double x = 0.0;
      const double* a = all_a.data() + i * k;
      const double* b = all_b.data() + j;
      for (int64_t l = 0; l < k; ++l) x += a[l] * b[l * n];
      if (!p.bias.empty()) x += Get(p.bias, {j});
      if (!p.pre_activation.empty()) Set(p.pre_activation, {i, j}, x);
      x = Activate(p.activation, x);
      if (!p.ungated.empty()) Set(p.ungated, {i, j}, x);
      if (!p.gate.empty()) x *= Get(p.gate, {i / rows_per_gate, j});
      if (!p.residual.empty()) x += Get(p.residual, {i, j});
      if (p.accumulate) x += Get(p.out, {i, j});
      Set(p.out, {i, j}, x);
    }
  }
}

void ActivationBackward(Context&, const ActivationBackwardParams& p, void*) {
  for (int64_t i = 0; i < p.dy.dim(0); ++i) {
    for (int64_t j = 0; j < p.dy.dim(1); ++j) {
      const double slope = ActivateDerivative(p.activation, Get(p.pre_activation, {i, j}));
      Set(p.dx, {i, j}, Get(p.dy, {i, j}) * slope);
    }
  }
}

void GateBackward(Context&, const GateBackwardParams& p, void*) {
  const int64_t groups = p.gate.dim(0), n = p.gate.dim(1), rows = p.dy.dim(0) / groups;
  for (int64_t g = 0; g < groups; ++g) {
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0.0;
      for (int64_t i = g * rows; i < (g + 1) * rows; ++i) {
        const double dy = Get(p.dy, {i, j});
        if (!p.d_gate.empty()) sum += dy * Get(p.h, {i, j});
        Set(p.dh, {i, j}, dy * Get(p.gate, {g, j}));
      }
      if (!p.d_gate.empty()) Add(p.d_gate, {g, j}, sum);
    }
  }
}

void SumRows(Context&, const SumRowsParams& p, void*) {
  const int64_t groups = p.out.dim(0), n = p.out.dim(1), rows = p.x.dim(0) / groups;
  for (int64_t g = 0; g < groups; ++g) {
    for (int64_t j = 0; j < n; ++j) {
      double sum = p.accumulate ? Get(p.out, {g, j}) : 0.0;
      for (int64_t i = g * rows; i < (g + 1) * rows; ++i) sum += Get(p.x, {i, j});
      Set(p.out, {g, j}, sum);
    }
  }
}

}  // namespace

void AddLinear(Backend& backend) {
  backend.linear = Plain(&Linear);
  backend.activation_backward = Plain(&ActivationBackward);
  backend.gate_backward = Plain(&GateBackward);
  backend.sum_rows = Plain(&SumRows);
}

}  // namespace suffice::ref
