// SPDX-License-Identifier: Apache-2.0
// Rectified flow (Liu et al., arXiv 2209.03003; conventions of Wan 2.1): x_t = (1 - t) x_0 + t eps,
// velocity u = eps - x_0. t = 1 is noise; sampling integrates dx/dt = u from 1 to 0.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "lib/tensor/tensor.h"

namespace suffice {

// The law of t in training. `shift` s > 0 maps every t to s t / (1 + (s - 1) t) afterwards, which
// for s > 1 favours noise (Esser et al., arXiv 2403.03206, Eq. 23).
struct TimeLaw {
  std::string law = "logit_normal";  // uniform; logit_normal: sigmoid(mean + deviation * normal)
  double mean = 0.0;
  double deviation = 1.0;
  double shift = 1.0;
};
double ShiftTime(double t, double shift);
// t of draw `index` of (seed, Stream::kTime). Throws kUsage for another law's name.
double SampleTime(const TimeLaw& law, uint64_t seed, uint64_t index);

// For each sample b of x0 and eps (B, ...) fp32: x_t and the velocity. t has B values.
Tensor MixNoise(const Tensor& x0, const Tensor& eps, const std::vector<double>& t);
Tensor FlowVelocity(const Tensor& x0, const Tensor& eps);

// Elements [index, index + elements) of the noise (seed, Stream::kNoise), fp32.
Tensor FlowNoise(Context& context, const Shape& shape, uint64_t seed, uint64_t index);

// t as (B) fp32, on the host and on the device.
HostArray TimesOnHost(const std::vector<double>& t);
Tensor TimesTensor(Context& context, const std::vector<double>& t);

// Velocity of x (B, ...) fp32 at time t, as a new tensor.
using VelocityFunction = std::function<Tensor(const Tensor& x, double t)>;

// Classifier-free guidance (Ho and Salimans, arXiv 2207.12598): u_0 + scale (u_c - u_0). scale 1 is
// u_c alone and does not ask for u_0.
VelocityFunction Guided(VelocityFunction conditional, VelocityFunction unconditional, double scale);

// steps + 1 times from 1 to 0, shifted.
std::vector<double> TimeGrid(int64_t steps, double shift);

enum class Solver : uint8_t { kEuler, kHeun };
Solver ParseSolver(const std::string& name);  // "euler", "heun"; throws kUsage

// Integrates from `noise` over the grid and calls on_step(i, t_i, x) after each step, x at t_{i +
// 1}. Heun's corrector is left out of the step that ends at t = 0. The noise is not changed.
Tensor Integrate(Solver solver, const VelocityFunction& velocity, const Tensor& noise,
                 const std::vector<double>& grid,
                 const std::function<void(int64_t, double, const Tensor&)>& on_step = nullptr);

}  // namespace suffice
