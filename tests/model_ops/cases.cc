// SPDX-License-Identifier: Apache-2.0
#include "tests/model_ops/cases.h"

namespace suffice::testing {
namespace {

constexpr DType kF32 = DType::kF32;

// Rate 0.01, decay 0.9, the corrections of the third step at beta 0.9 and 0.999.
View AdamWSchedule(Rig& r) {
  const View schedule = r.Out({4}, kF32);
  const float values[] = {0.01f, 0.9f, 0.271f, 0.002997f};
  for (int64_t i = 0; i < 4; ++i) {
    r.context.Run(FillParams{.out = schedule.slice(0, i, i + 1), .value = values[i]});
  }
  return schedule;
}

std::vector<OpCase> LinearCases() {
  std::vector<OpCase> cases;
  struct Size {
    int64_t m, n, k;
  };
  for (const Size s : {Size{1, 1, 1}, Size{5, 33, 17}, Size{130, 70, 64}, Size{300, 600, 48}}) {
    const std::string size = fmt::format("{}x{}x{}", s.m, s.n, s.k);
    cases.push_back({"linear plain " + size, [s](Rig& r) {
                       r.context.Run(LinearParams{.a = r.InRows(s.m, s.k),
                                                  .b = r.In({s.n, s.k}).transpose(0, 1),
                                                  .out = r.OutRows(s.m, s.n, r.dtype)});
                     }});
    cases.push_back({"linear bias gelu, pre-activation kept " + size, [s](Rig& r) {
                       r.context.Run(LinearParams{.a = r.In({s.m, s.k}),
                                                  .b = r.In({s.n, s.k}).transpose(0, 1),
                                                  .bias = r.In({s.n}, kF32),
                                                  .activation = Activation::kGeluTanh,
                                                  .pre_activation = r.OutRows(s.m, s.n, r.dtype),
                                                  .out = r.Out({s.m, s.n})});
                     }});
    cases.push_back({"linear silu, fp32 out " + size, [s](Rig& r) {
                       r.context.Run(LinearParams{.a = r.In({s.m, s.k}),
                                                  .b = r.InRows(s.k, s.n),
                                                  .bias = r.In({s.n}),
                                                  .activation = Activation::kSilu,
                                                  .out = r.OutRows(s.m, s.n, kF32)});
                     }});
    cases.push_back({"linear gate in place, ungated kept " + size, [s](Rig& r) {
                       const int64_t groups = s.m % 2 == 0 ? 2 : 1;
                       const View x = r.InOut({s.m, s.n}, r.dtype);
                       r.context.Run(LinearParams{.a = r.In({s.m, s.k}),
                                                  .b = r.In({s.n, s.k}).transpose(0, 1),
                                                  .bias = r.In({s.n}, kF32),
                                                  .gate = r.InRows(groups, s.n),
                                                  .residual = x,
                                                  .ungated = r.Out({s.m, s.n}),
                                                  .out = x});
                     }});
    cases.push_back({"linear weight gradient accumulates " + size, [s](Rig& r) {
                       r.context.Run(LinearParams{.a = r.InRows(s.m, s.n).transpose(0, 1),
                                                  .b = r.InRows(s.m, s.k),
                                                  .out = r.InOut({s.n, s.k}, kF32),
                                                  .accumulate = true});
                     }});
    cases.push_back({"linear accumulates with a bias " + size, [s](Rig& r) {
                       r.context.Run(LinearParams{.a = r.In({s.m, s.k}),
                                                  .b = r.In({s.k, s.n}),
                                                  .bias = r.In({s.n}, kF32),
                                                  .out = r.InOut({s.m, s.n}, r.dtype),
                                                  .accumulate = true});
                     }});
  }
  // Of one type, rows of whole 16-byte pieces: what a GPU's library does by itself.
  for (const Size s : {Size{136, 72, 64}, Size{40, 24, 1024}, Size{257, 136, 40}}) {
    const std::string size = fmt::format("{}x{}x{}", s.m, s.n, s.k);
    cases.push_back(
        {"linear bias, bias gelu of one type " + size, [s](Rig& r) {
           const View a = r.In({s.m, s.k}), b = r.In({s.n, s.k}).transpose(0, 1);
           const View bias = r.In({s.n});
           r.context.Run(
               LinearParams{.a = a, .b = b, .bias = bias, .out = r.OutRows(s.m, s.n, r.dtype, 8)});
           r.context.Run(LinearParams{.a = a,
                                      .b = b,
                                      .bias = bias,
                                      .activation = Activation::kGeluTanh,
                                      .pre_activation = r.OutRows(s.m, s.n, r.dtype, 8),
                                      .out = r.Out({s.m, s.n})});
           r.context.Run(LinearParams{
               .a = a, .b = b, .activation = Activation::kGeluTanh, .out = r.Out({s.m, s.n})});
         }});
    cases.push_back({"linear residual and gates of one type " + size, [s](Rig& r) {
                       const View a = r.InRows(s.m, s.k, 8), b = r.In({s.k, s.n});
                       const View bias = r.In({s.n}), x = r.InOut({s.m, s.n}, r.dtype);
                       const View gate = r.In({1, s.n}), residual = r.InRows(s.m, s.n, 8);
                       r.context.Run(
                           LinearParams{.a = a, .b = b, .bias = bias, .residual = x, .out = x});
                       r.context.Run(LinearParams{.a = a,
                                                  .b = b,
                                                  .bias = bias,
                                                  .gate = gate,
                                                  .residual = residual,
                                                  .out = r.Out({s.m, s.n})});
                       r.context.Run(LinearParams{.a = a,
                                                  .b = b,
                                                  .bias = bias,
                                                  .gate = gate,
                                                  .residual = residual,
                                                  .ungated = r.OutRows(s.m, s.n, r.dtype, 8),
                                                  .out = r.Out({s.m, s.n})});
                     }});
    cases.push_back({"linear gradients of one type " + size, [s](Rig& r) {
                       const View dy = r.InRows(s.m, s.n, 8), x = r.In({s.m, s.k});
                       r.context.Run(LinearParams{.a = dy.transpose(0, 1),
                                                  .b = x,
                                                  .out = r.InOut({s.n, s.k}, kF32),
                                                  .accumulate = true});
                       r.context.Run(LinearParams{.a = dy,
                                                  .b = r.In({s.n, s.k}),
                                                  .out = r.InOut({s.m, s.k}, r.dtype),
                                                  .accumulate = true});
                     }});
  }
  cases.push_back({"linear, rows of pairs", [](Rig& r) {
                     r.context.Run(LinearParams{.a = r.InRows(50, 34, 4),
                                                .b = r.InRows(26, 34, 2).transpose(0, 1),
                                                .bias = r.In({26}),
                                                .out = r.OutRows(50, 26, r.dtype, 2)});
                   }});
  cases.push_back({"linear of all at once", [](Rig& r) {
                     r.context.Run(LinearParams{.a = r.In({48, 32}),
                                                .b = r.In({32, 40}),
                                                .bias = r.In({40}),
                                                .activation = Activation::kSilu,
                                                .pre_activation = r.Out({48, 40}),
                                                .gate = r.In({3, 40}),
                                                .residual = r.InRows(48, 40, 8),
                                                .ungated = r.Out({48, 40}),
                                                .out = r.Out({48, 40})});
                   }});
  cases.push_back({"linear over no terms", [](Rig& r) {
                     const View a = r.In({3, 1}), b = r.In({1, 4});
                     r.context.Run(LinearParams{.a = a.slice(1, 0, 0),
                                                .b = b.slice(0, 0, 0),
                                                .bias = r.In({4}, kF32),
                                                .out = r.Out({3, 4})});
                   }});
  for (const Activation activation :
       {Activation::kNone, Activation::kGeluTanh, Activation::kSilu}) {
    cases.push_back(
        {fmt::format("activation backward {}", static_cast<int>(activation)), [activation](Rig& r) {
           r.scale = 3.0f;
           r.context.Run(ActivationBackwardParams{.pre_activation = r.InRows(33, 21),
                                                  .dy = r.InRows(33, 21),
                                                  .dx = r.OutRows(33, 21, r.dtype),
                                                  .activation = activation});
         }});
  }
  return cases;
}

std::vector<OpCase> RowCases() {
  std::vector<OpCase> cases;
  for (const int64_t groups : {1, 3}) {
    const int64_t m = 78 * groups, n = 37;
    const std::string g = fmt::format(" of {} groups", groups);
    cases.push_back({"gate backward" + g, [=](Rig& r) {
                       r.context.Run(GateBackwardParams{.h = r.InRows(m, n),
                                                        .dy = r.InRows(m, n),
                                                        .gate = r.InRows(groups, n),
                                                        .dh = r.OutRows(m, n, r.dtype),
                                                        .d_gate = r.InOut({groups, n}, kF32)});
                     }});
    cases.push_back({"gate backward without d_gate" + g, [=](Rig& r) {
                       r.context.Run(GateBackwardParams{.dy = r.InRows(m, n),
                                                        .gate = r.InRows(groups, n),
                                                        .dh = r.OutRows(m, n, r.dtype)});
                     }});
    cases.push_back(
        {"sum rows" + g, [=](Rig& r) {
           r.context.Run(SumRowsParams{
               .x = r.InRows(m, n), .out = r.OutRows(groups, n, kF32), .accumulate = false});
           r.context.Run(SumRowsParams{.x = r.InRows(m, n), .out = r.InOut({groups, n}, kF32)});
         }});
    cases.push_back({"norm modulate and its backward" + g, [=](Rig& r) {
                       const View x = r.InRows(m, n), scale = r.InRows(groups, n);
                       const View mean = r.Out({m}, kF32), rstd = r.Out({m}, kF32);
                       r.context.Run(NormModulateParams{.x = x,
                                                        .scale = scale,
                                                        .shift = r.InRows(groups, n),
                                                        .y = r.OutRows(m, n, r.dtype),
                                                        .mean = mean,
                                                        .rstd = rstd});
                       const View d = r.InOut({groups, 3 * n}, kF32);
                       r.context.Run(NormModulateBackwardParams{.x = x,
                                                                .scale = scale,
                                                                .mean = mean,
                                                                .rstd = rstd,
                                                                .dy = r.InRows(m, n),
                                                                .dx = r.OutRows(m, n, r.dtype),
                                                                .d_scale = d.slice(1, n, 2 * n),
                                                                .d_shift = d.slice(1, 0, n)});
                       r.context.Run(NormModulateBackwardParams{.x = x,
                                                                .scale = r.In({groups, n}, kF32),
                                                                .mean = mean,
                                                                .rstd = rstd,
                                                                .dy = r.InRows(m, n),
                                                                .dx = r.InOut({m, n}, r.dtype),
                                                                .accumulate_dx = true});
                     }});
  }
  cases.push_back({"sums over many rows", [](Rig& r) {
                     const int64_t m = 3000, n = 40;
                     r.context.Run(SumRowsParams{.x = r.In({m, n}), .out = r.InOut({2, n}, kF32)});
                     r.context.Run(GateBackwardParams{.h = r.In({m, n}),
                                                      .dy = r.In({m, n}),
                                                      .gate = r.In({1, n}),
                                                      .dh = r.Out({m, n}),
                                                      .d_gate = r.InOut({1, n}, kF32)});
                   }});
  // Rows that are short, long, and too long to be kept.
  for (const int64_t n : {64, 200, 768, 1536, 5120, 16408}) {
    cases.push_back({fmt::format("norm modulate and its backward, rows of {}", n), [=](Rig& r) {
                       const int64_t m = n > 5000 ? 3 : 6;
                       const View x = r.In({m, n}), dy = r.In({m, n});
                       const View scale = r.In({3, n}, kF32);
                       const View mean = r.Out({m}, kF32), rstd = r.Out({m}, kF32);
                       r.context.Run(NormModulateParams{.x = x,
                                                        .scale = scale,
                                                        .shift = r.In({3, n}, kF32),
                                                        .y = r.Out({m, n}),
                                                        .mean = mean,
                                                        .rstd = rstd});
                       r.context.Run(NormModulateBackwardParams{.x = x,
                                                                .scale = scale,
                                                                .mean = mean,
                                                                .rstd = rstd,
                                                                .dy = dy,
                                                                .dx = r.Out({m, n}),
                                                                .d_scale = r.InOut({3, n}, kF32),
                                                                .d_shift = r.InOut({3, n}, kF32)});
                     }});
  }
  cases.push_back(
      {"norm without affine", [](Rig& r) {
         const View x = r.In({9, 100});
         const View mean = r.Out({9}, kF32), rstd = r.Out({9}, kF32);
         r.context.Run(
             NormModulateParams{.x = x, .y = r.Out({9, 100}), .mean = mean, .rstd = rstd});
         r.context.Run(NormModulateBackwardParams{
             .x = x, .mean = mean, .rstd = rstd, .dy = r.In({9, 100}), .dx = r.Out({9, 100})});
       }});
  return cases;
}

// q and k are slices of one fused projection (B, N, 3, H, D), as a layer makes it.
void QkRun(Rig& r, int64_t b, int64_t n, int64_t h, int64_t d, bool norm, bool rope) {
  const View fused = r.In({b, n, 3 * h, d}), d_fused = r.Out({b, n, 3 * h, d});
  View cos, sin;
  if (rope) {
    cos = r.In({n, d / 2}, kF32);
    sin = r.In({n, d / 2}, kF32);
  }
  const auto side = [&](int64_t which, int block) {
    QkSide s;
    s.in = fused.slice(2, which * h, (which + 1) * h);
    if (norm) {
      s.weight = which == 0 ? r.In({d}, kF32) : r.In({d});
      s.rrms = r.Out({b, h, n}, kF32);
    }
    s.out = r.Out({b, h, n, d});
    s.pooled = r.Out({b, h, BlockCount(n, block), d}, kF32);
    s.block = block;
    return s;
  };
  const QkNormRopePoolParams forward{.q = side(0, 16), .k = side(1, 8), .cos = cos, .sin = sin};
  r.context.Run(forward);
  const auto back = [&](const QkSide& s, int64_t which) {
    QkSideBackward g;
    g.in = s.in;
    g.weight = s.weight;
    g.rrms = s.rrms;
    g.d_out = r.In({b, h, n, d});
    g.d_in = d_fused.slice(2, which * h, (which + 1) * h);
    if (norm) g.d_weight = r.InOut({d}, kF32);
    return g;
  };
  r.context.Run(QkNormRopeBackwardParams{
      .q = back(forward.q, 0), .k = back(forward.k, 1), .cos = cos, .sin = sin});
}

std::vector<OpCase> QkCases() {
  std::vector<OpCase> cases;
  for (const bool norm : {false, true}) {
    for (const bool rope : {false, true}) {
      cases.push_back({fmt::format("qk norm {} rope {}", norm, rope),
                       [=](Rig& r) { QkRun(r, 2, 37, 3, 20, norm, rope); }});
    }
  }
  cases.push_back({"qk of 130 tokens of 64", [](Rig& r) { QkRun(r, 1, 130, 2, 64, true, true); }});
  cases.push_back({"qk of many heads", [](Rig& r) {
                     QkRun(r, 1, 400, 3, 20, true, true);   // not aligned
                     QkRun(r, 1, 6000, 12, 8, true, true);  // more than one turn of a grid
                     QkRun(r, 1, 40, 2, 128, true, true);
                     QkRun(r, 1, 40, 2, 256, true, true);
                     QkRun(r, 1, 40, 2, 72, true, true);
                   }});
  cases.push_back({"q alone", [](Rig& r) {
                     QkNormRopePoolParams p;
                     p.q.in = r.In({1, 5, 2, 6});
                     p.q.out = r.Out({1, 2, 5, 6});
                     r.context.Run(p);
                   }});
  return cases;
}

std::vector<OpCase> OtherCases() {
  return {
      {"embed and its backward",
       [](Rig& r) {
         const View ids = r.Ids({3, 0, 3, -1, 4, 9});
         r.context.Run(
             EmbedParams{.table = r.InRows(5, 19), .ids = ids, .out = r.OutRows(6, 19, r.dtype)});
         r.context.Run(EmbedBackwardParams{
             .ids = ids, .d_out = r.InRows(6, 19), .d_table = r.InOut({5, 19}, kF32)});
       }},
      {"embed backward of many rows",
       [](Rig& r) {
         std::vector<int32_t> ids(150);
         for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>((i * i) % 7);
         r.context.Run(EmbedBackwardParams{
             .ids = r.Ids(ids), .d_out = r.In({150, 300}), .d_table = r.InOut({7, 300}, kF32)});
       }},
      {"time features",
       [](Rig& r) {
         r.context.Run(TimeFeaturesParams{.t = r.In({3}, kF32), .out = r.OutRows(3, 34, r.dtype)});
       }},
      {"patchify there and back",
       [](Rig& r) {
         std::vector<int32_t> order(2 * 3 * 2);
         for (size_t i = 0; i < order.size(); ++i)
           order[i] = static_cast<int32_t>((i * 5 + 1) % 12);
         const View ids = r.Ids(order);
         const View tokens = r.Out({2, 12, 2 * 2 * 2 * 3});
         // (B, C, F, Y, X) = (2, 3, 4, 6, 4) seen through channels-last memory.
         View v = r.In({2, 4, 6, 4, 3}).transpose(3, 4).transpose(2, 3).transpose(1, 2);
         r.context.Run(
             PatchifyParams{.video = v, .tokens = tokens, .order = ids, .patch = {2, 2, 2}});
         r.context.Run(PatchifyParams{.video = r.Out({2, 3, 4, 6, 4}, kF32),
                                      .tokens = tokens,
                                      .order = ids,
                                      .patch = {2, 2, 2},
                                      .inverse = true});
       }},
      {"patchify in raster order to bf16",
       [](Rig& r) {
         r.context.Run(PatchifyParams{.video = r.In({1, 2, 3, 4, 9}, kF32),
                                      .tokens = r.Out({1, 18, 12}, DType::kBF16),
                                      .patch = {1, 2, 3}});
       }},
      {"axpby",
       [](Rig& r) {
         const View alphas = r.In({3}, kF32), betas = r.In({3}, kF32);
         r.context.Run(AxpbyParams{.x = r.In({3, 7, 11}),
                                   .y = r.In({3, 77}, kF32),
                                   .out = r.Out({231}),
                                   .alpha = 0.5f,
                                   .beta = -2.0f,
                                   .alphas = alphas,
                                   .betas = betas});
         r.context.Run(AxpbyParams{.x = r.InRows(6, 21),
                                   .y = r.InRows(6, 21),
                                   .out = r.OutRows(6, 21, kF32),
                                   .beta = 1.0f,
                                   .betas = betas});
         r.context.Run(AxpbyParams{.x = r.In({20000}), .out = r.Out({20000}, DType::kBF16)});
       }},
      {"axpby in place",
       [](Rig& r) {
         const View x = r.InOut({999}, r.dtype);
         r.context.Run(AxpbyParams{.x = x, .y = r.In({999}), .out = x, .beta = 1.0f});
       }},
      {"silu and its derivative",
       [](Rig& r) {
         r.scale = 4.0f;
         const View x = r.In({7, 39});
         r.context.Run(SiluParams{.x = x, .out = r.Out({7, 39})});
         r.context.Run(SiluParams{.x = x, .out = r.Out({7, 39}), .dy = r.In({7, 39})});
       }},
      {"mse",
       [](Rig& r) {
         r.context.Run(MseParams{.x = r.In({3, 9001}),
                                 .y = r.In({3, 9001}, kF32),
                                 .loss = r.Out({3}, kF32),
                                 .d_x = r.Out({3, 9001}),
                                 .weight = 0.7f});
         r.context.Run(MseParams{.x = r.In({2, 40000}),
                                 .y = r.In({2, 40000}),
                                 .loss = r.Out({2}, kF32),
                                 .d_x = r.Out({2, 40000})});
       }},
      {"sum of squares",
       [](Rig& r) {
         r.context.Run(SumSquaresParams{.x = r.In({10, 2003}), .out = r.InOut({1}, kF32)});
         r.context.Run(
             SumSquaresParams{.x = r.In({5}), .out = r.Out({1}, kF32), .accumulate = false});
       }},
      {"normal fill",
       [](Rig& r) {
         r.context.Run(NormalFillParams{.out = r.Out({9000}), .seed = 5, .stream = 2, .offset = 3});
         r.context.Run(NormalFillParams{
             .out = r.Out({9001}), .seed = 6, .stream = 1, .offset = uint64_t{1} << 40});
       }},
      {"fill",
       [](Rig& r) {
         r.context.Run(FillParams{.out = r.Out({4, 4001}), .value = 1.5f});
         r.context.Run(FillParams{.out = r.OutRows(4, 17, r.dtype), .value = -2.0f});
       }},
      {"adamw",
       [](Rig& r) {
         const View v = r.InOut({9001}, kF32), norm = r.Out({1}, kF32);
         const View grad = r.In({9001}, kF32);
         r.context.Run(AxpbyParams{.x = v, .out = v, .alpha = 0.0f});
         r.context.Run(FillParams{.out = v, .value = 0.25f});
         r.context.Run(SumSquaresParams{.x = grad, .out = norm, .accumulate = false});
         r.context.Run(AdamWParams{.master = r.InOut({9001}, kF32),
                                   .m = r.InOut({9001}, kF32),
                                   .v = v,
                                   .grad = grad,
                                   .compute = r.Out({9001}),
                                   .ema = r.InOut({9001}, kF32),
                                   .grad_square_sum = norm,
                                   .schedule = AdamWSchedule(r),
                                   .weight_decay = 0.1f,
                                   .clip_norm = 1.0f});
       }},
      {"adamw of gradients that are not finite",
       [](Rig& r) {
         const View norm = r.Out({1}, kF32);  // NaN
         r.context.Run(AdamWParams{.master = r.InOut({901}, kF32),
                                   .m = r.InOut({901}, kF32),
                                   .v = r.InOut({901}, kF32),
                                   .grad = r.In({901}, kF32),
                                   .compute = r.InOut({901}, r.dtype),
                                   .ema = r.InOut({901}, kF32),
                                   .grad_square_sum = norm,
                                   .schedule = AdamWSchedule(r)});
       }},
  };
}

}  // namespace

const std::vector<OpCase>& OpCases() {
  static const std::vector<OpCase> cases = [] {
    std::vector<OpCase> all;
    for (const auto& list : {LinearCases(), RowCases(), QkCases(), OtherCases()}) {
      all.insert(all.end(), list.begin(), list.end());
    }
    return all;
  }();
  return cases;
}

}  // namespace suffice::testing
