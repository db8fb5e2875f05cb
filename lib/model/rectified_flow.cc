// SPDX-License-Identifier: Apache-2.0
#include "lib/model/rectified_flow.h"

#include <cmath>

#include "lib/base/philox.h"

namespace suffice {
namespace {

// z = x + factor * y, into x's memory or a new tensor.
void AddScaled(const Tensor& x, double factor, const Tensor& y, const Tensor& out) {
  out.context().Run(AxpbyParams{.x = x, .y = y, .out = out, .beta = static_cast<float>(factor)});
}

}  // namespace

double ShiftTime(double t, double shift) { return shift * t / (1.0 + (shift - 1.0) * t); }

double SampleTime(const TimeLaw& law, uint64_t seed, uint64_t index) {
  const auto stream = static_cast<uint32_t>(Stream::kTime);
  double t = 0.0;
  if (law.law == "uniform") {
    t = double{UniformAt(seed, stream, index)};
  } else if (law.law == "logit_normal") {
    const double z = law.mean + law.deviation * double{NormalAt(seed, stream, index)};
    t = 1.0 / (1.0 + std::exp(-z));
  } else {
    throw UsageError("time law '{}': wanted uniform or logit_normal", law.law);
  }
  return ShiftTime(t, law.shift);
}

HostArray TimesOnHost(const std::vector<double>& t) {
  HostArray host(DType::kF32, {static_cast<int64_t>(t.size())});
  for (size_t i = 0; i < t.size(); ++i) host.values<float>()[i] = static_cast<float>(t[i]);
  return host;
}

Tensor TimesTensor(Context& context, const std::vector<double>& t) {
  return Tensor::FromHost(context, TimesOnHost(t));
}

Tensor MixNoise(const Tensor& x0, const Tensor& eps, const std::vector<double>& t) {
  Context& context = x0.context();
  SUFFICE_CHECK(static_cast<int64_t>(t.size()) == x0.shape()[0]);
  std::vector<double> rest;
  for (const double time : t) rest.push_back(1.0 - time);
  const Tensor alphas = TimesTensor(context, rest), betas = TimesTensor(context, t);
  const Tensor x_t(context, DType::kF32, x0.shape());
  context.Run(
      AxpbyParams{.x = x0, .y = eps, .out = x_t, .beta = 1.0f, .alphas = alphas, .betas = betas});
  return x_t;
}

Tensor FlowVelocity(const Tensor& x0, const Tensor& eps) {
  const Tensor u(x0.context(), DType::kF32, x0.shape());
  AddScaled(eps, -1.0, x0, u);
  return u;
}

Tensor FlowNoise(Context& context, const Shape& shape, uint64_t seed, uint64_t index) {
  const Tensor eps(context, DType::kF32, shape);
  context.Run(NormalFillParams{
      .out = eps, .seed = seed, .stream = static_cast<uint32_t>(Stream::kNoise), .offset = index});
  return eps;
}

VelocityFunction Guided(VelocityFunction conditional, VelocityFunction unconditional,
                        double scale) {
  if (scale == 1.0) return conditional;
  return [=](const Tensor& x, double t) {
    const Tensor u_c = conditional(x, t), u_0 = unconditional(x, t);
    u_c.context().Run(AxpbyParams{.x = u_c,
                                  .y = u_0,
                                  .out = u_c,
                                  .alpha = static_cast<float>(scale),
                                  .beta = static_cast<float>(1.0 - scale)});
    return u_c;
  };
}

std::vector<double> TimeGrid(int64_t steps, double shift) {
  SUFFICE_CHECK(steps >= 1);
  std::vector<double> grid;
  for (int64_t i = 0; i <= steps; ++i) {
    grid.push_back(ShiftTime(static_cast<double>(steps - i) / static_cast<double>(steps), shift));
  }
  return grid;
}

Solver ParseSolver(const std::string& name) {
  if (name == "euler") return Solver::kEuler;
  if (name == "heun") return Solver::kHeun;
  throw UsageError("solver '{}': wanted euler or heun", name);
}

Tensor Integrate(Solver solver, const VelocityFunction& velocity, const Tensor& noise,
                 const std::vector<double>& grid,
                 const std::function<void(int64_t, double, const Tensor&)>& on_step) {
  Context& context = noise.context();
  const Tensor x(context, DType::kF32, noise.shape());
  context.Run(AxpbyParams{.x = noise, .out = x});
  for (size_t i = 0; i + 1 < grid.size(); ++i) {
    const double h = grid[i + 1] - grid[i];
    const Tensor u = velocity(x, grid[i]);
    if (solver == Solver::kHeun && grid[i + 1] > 0) {
      const Tensor ahead(context, DType::kF32, noise.shape());
      AddScaled(x, h, u, ahead);
      const Tensor u_ahead = velocity(ahead, grid[i + 1]);
      AddScaled(x, 0.5 * h, u, x);
      AddScaled(x, 0.5 * h, u_ahead, x);
    } else {
      AddScaled(x, h, u, x);
    }
    if (on_step) on_step(static_cast<int64_t>(i), grid[i], x);
  }
  return x;
}

}  // namespace suffice
