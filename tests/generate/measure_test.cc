// SPDX-License-Identifier: Apache-2.0
// capture and evaluate.
#include <cmath>
#include <nlohmann/json.hpp>

#include "lib/policy/runs.h"
#include "tests/generate/generate_testing.h"

namespace suffice::testing {
namespace {

struct Direct {
  Context context{{.backend = "cpu", .isa = "auto", .threads = 1, .device = 0}};
  ModelInfo info;
  std::unique_ptr<VideoDit> model;
  ClipDataset data;
  HeldOutUnits units;
  Direct(const Scenario& place, const std::string& name, DType compute)
      : info(ReadModelInfo(TensorReader(place / name))),
        model(LoadModel(context, TensorReader(place / name), info, compute)),
        data(ClipDataset::Read(place / "clips.h5")),
        units(context, data, info, 7) {}
};

Arguments CaptureArguments(const Scenario& place, const std::string& model,
                           const std::string& output) {
  return {{"model", {place / model}}, {"data", {place / "clips.h5"}}, {"output", {place / output}}};
}

TEST(Capture, IsWhatTheAttentionOfAModelSees) {
  const Scenario place;
  const RunResult run = Generate("capture", CaptureArguments(place, "dense.h5", "qkv.h5"),
                                 Set({"draws=2", "times=[0.25, 0.75]", "compute=f32"}));
  ASSERT_EQ(run.code, 0) << run.err;
  const TensorReader file(place / "qkv.h5", EncodingType::kCapture);
  EXPECT_EQ(file.IntListAttribute("/", "grid"), (std::vector<int64_t>{4, 8, 8}));
  EXPECT_EQ(file.StringAttribute("/", "token-order"), "raster");
  const HostArray times = file.Read("/units/t"), ids = file.Read("/units/id");
  EXPECT_EQ(times.values<double>()[3], 0.75);
  EXPECT_EQ(ids.values<uint64_t>()[3], 1u);
  for (const char* name : {"/layers/0/q", "/layers/1/k", "/layers/1/v"}) {
    EXPECT_EQ(file.Info(name).shape, (Shape{4, 2, 256, 16})) << name;
  }

  // The last unit again, by hand: q as traced, and o from the captured q, k, v.
  Direct direct(place, "dense.h5", DType::kF32);
  const FlowUnit unit = direct.units.AtTime(1, 0.75);
  ForwardOptions options;
  HostArray q_traced, o_traced;
  options.observer = [&](int64_t layer, const AttentionTrace& trace) {
    if (layer != 1) return;
    q_traced = trace.q.ToHost();
    const Tensor rows = trace.o.Transpose(1, 2);  // (1, N, H, D), contiguous
    o_traced = rows.ToHost();
  };
  direct.model->Velocity(unit.x_t, unit.condition, options);
  const HostArray q = file.ReadRows("/layers/1/q", 3, 4), k = file.ReadRows("/layers/1/k", 3, 4),
                  v = file.ReadRows("/layers/1/v", 3, 4);
  EXPECT_TRUE(SameBits(q, q_traced));
  const int64_t n = 256, d = 16;
  for (const int64_t head : {0, 1}) {
    for (const int64_t row : {0, 100, 255}) {
      const auto at = [&](const HostArray& x, int64_t token, int64_t c) {
        return double{x.values<float>()[static_cast<size_t>((head * n + token) * d + c)]};
      };
      std::vector<double> weight(static_cast<size_t>(n)), o(static_cast<size_t>(d));
      double sum = 0;
      for (int64_t j = 0; j < n; ++j) {
        double dot = 0;
        for (int64_t c = 0; c < d; ++c) dot += at(q, row, c) * at(k, j, c);
        sum += weight[static_cast<size_t>(j)] = std::exp(dot / 4);
      }
      for (int64_t c = 0; c < d; ++c) {
        for (int64_t j = 0; j < n; ++j)
          o[static_cast<size_t>(c)] += weight[static_cast<size_t>(j)] / sum * at(v, j, c);
        const float found = o_traced.values<float>()[static_cast<size_t>((row * 2 + head) * d + c)];
        EXPECT_NEAR(found, o[static_cast<size_t>(c)], 1e-4) << head << " " << row << " " << c;
      }
    }
  }
}

TEST(Capture, TakesLayersHeadsAndTheContractsSetting) {
  const Scenario place;
  const Options all = Set({"draws=1"}), some = Set({"draws=1", "layers=[1]", "heads=[1]"});
  ASSERT_EQ(Generate("capture", CaptureArguments(place, "sparse.h5", "all.h5"), all).code, 0);
  ASSERT_EQ(Generate("capture", CaptureArguments(place, "sparse.h5", "some.h5"), some).code, 0);
  const TensorReader whole(place / "all.h5"), part(place / "some.h5");
  EXPECT_FALSE(part.Has("/layers/0/q"));
  EXPECT_EQ(part.Info("/layers/1/v").dtype, DType::kBF16);
  const HostArray a = whole.Read("/layers/1/v"), b = part.Read("/layers/1/v");
  const size_t head = b.bytes() / 3;  // of one unit
  for (size_t unit = 0; unit < 3; ++unit) {
    EXPECT_TRUE(std::equal(b.data() + unit * head, b.data() + (unit + 1) * head,
                           a.data() + (2 * unit + 1) * head));
  }
  EXPECT_NE(part.StringAttribute("/", "setting")->find("name: half"), std::string::npos);
  const RunResult refused =
      Generate("capture", CaptureArguments(place, "sparse.h5", "x.h5"), Set({"setting=tenth"}));
  EXPECT_EQ(refused.code, 2);
  EXPECT_NE(refused.err.find("'tenth' was asked for, its contract has half, quarter"),
            std::string::npos)
      << refused.err;
}

TEST(Capture, FeedsASweep) {
  const Scenario place;
  ASSERT_EQ(Generate("capture", CaptureArguments(place, "dense.h5", "qkv.h5"), Set({})).code, 0);
  const RunResult sweep =
      RunTool(sparsify::Verbs(), "sweep",
              {{"qkv", {place / "qkv.h5"}}, {"output", {place / "sweep.tsv"}}}, Set({}));
  ASSERT_EQ(sweep.code, 0) << sweep.err;
  const std::string tsv = ReadBytes(place / "sweep.tsv");
  EXPECT_NE(tsv.find("\ntiles\thybrid\t"), std::string::npos) << tsv;
}

const char kGrid[] = R"(units: 6
epsilon: 0.01
settings:
  - {name: half, rule: topk, k: 0.5}
  - {name: everything, rule: dense}
)";

Arguments EvaluateArguments(const Scenario& place, const std::string& output) {
  WriteBytes(place / "grid.yaml", kGrid);
  return {{"model", {place / "sparse.h5"}},
          {"reference", {place / "dense.h5"}},
          {"data", {place / "clips.h5"}},
          {"grid", {place / "grid.yaml"}},
          {"output", {place / output}}};
}

// Digests of everything that is not a measured time.
std::map<std::string, std::string> Unmeasured(const std::string& path) {
  std::map<std::string, std::string> hashes;
  TensorReader(path).ContentDigest(&hashes);
  hashes.erase("/seconds");
  return hashes;
}

TEST(Evaluate, MeasuresEachSettingAgainstTheDenseReference) {
  const Scenario place;
  Options options = Set({"compute=f32"});
  options.json = true;
  const RunResult run = Generate("evaluate", EvaluateArguments(place, "runs.h5"), options);
  ASSERT_EQ(run.code, 0) << run.err;
  const Runs runs = ReadRuns(TensorReader(place / "runs.h5", EncodingType::kRuns));
  ASSERT_EQ(runs.columns.size(), 3u);
  ASSERT_EQ(runs.units.size(), 6u);
  EXPECT_EQ(runs.reference, ContentDigest(place / "dense.h5"));
  EXPECT_EQ(runs.columns[0].model, ContentDigest(place / "sparse.h5"));
  EXPECT_NE(runs.population.find(ContentDigest(place / "clips.h5").substr(0, 16)),
            std::string::npos);
  const RunsColumn &half = runs.columns[0], &everything = runs.columns[1], &dense = runs.columns[2];
  EXPECT_EQ(half.density, 0.5);
  EXPECT_EQ(dense.density, 1);
  EXPECT_EQ(dense.model, runs.reference);

  Direct direct(place, "sparse.h5", DType::kF32);
  const VideoDit::Flops flops = direct.model->ForwardFlops(direct.info.ClipShape(1));
  double differences = 0, references = 0;
  for (size_t u = 0; u < runs.units.size(); ++u) {
    const FlowUnit unit = direct.units[runs.units[u].id];
    EXPECT_EQ(runs.units[u].t, unit.t);
    EXPECT_EQ(runs.units[u].start, unit.clip.start - 20);
    EXPECT_EQ(dense.losses.at("error")[u], 0);
    EXPECT_EQ(everything.losses.at("error")[u], 0) << "the same weights";
    const HostArray a = VelocityAt(*direct.model, unit, half.setting, {}).ToHost(),
                    b = VelocityAt(*direct.model, unit, DenseSetting(), {}).ToHost();
    double difference = 0, reference = 0;
    for (size_t i = 0; i < a.values<float>().size(); ++i) {
      const double x = a.values<float>()[i], y = b.values<float>()[i];
      difference += (x - y) * (x - y);
      reference += y * y;
    }
    const double error = difference / reference;
    EXPECT_GT(error, 0);
    EXPECT_NEAR(half.losses.at("error")[u], error, 1e-4 * error);
    EXPECT_EQ(half.losses.at("failure")[u], half.losses.at("error")[u] > 0.01 ? 1 : 0);
    EXPECT_DOUBLE_EQ(dense.cost[u], (flops.linear + flops.attention) * 1e-9);
    EXPECT_DOUBLE_EQ(half.cost[u], (flops.linear + 0.5 * flops.attention) * 1e-9);
    EXPECT_GT(half.seconds[u], 0);
    differences += difference;
    references += reference;
  }
  const auto json = nlohmann::json::parse(run.out);
  EXPECT_NEAR(json.at("settings").at(0).at("e"), differences / references, 1e-5);
  EXPECT_LT(json.at("settings").at(0).at("interval").at(0), differences / references);
  EXPECT_EQ(json.at("settings").at(2).at("e"), 0);
}

TEST(Evaluate, RepeatsAndResumesToTheSameBytesOutsideSeconds) {
  const Scenario place;
  Options options = Set({});
  ASSERT_EQ(Generate("evaluate", EvaluateArguments(place, "a.h5"), options).code, 0);
  ASSERT_EQ(Generate("evaluate", EvaluateArguments(place, "b.h5"), options).code, 0);
  EXPECT_EQ(Unmeasured(place / "a.h5"), Unmeasured(place / "b.h5"));

  const Arguments arguments = EvaluateArguments(place, "c.h5");
  const RunResult stopped = Generate("evaluate", arguments, options, "unit 1/6");
  EXPECT_EQ(stopped.code, 75) << stopped.err;
  EXPECT_FALSE(std::filesystem::exists(place / "c.h5"));
  EXPECT_EQ(Generate("evaluate", arguments, options).code, 2) << "a checkpoint lies there";
  options.resume = true;
  const RunResult resumed = Generate("evaluate", arguments, options);
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_EQ(Unmeasured(place / "a.h5"), Unmeasured(place / "c.h5"));
  EXPECT_FALSE(std::filesystem::exists(place / "c.h5.checkpoint"));
}

TEST(Evaluate, RefusesWhatCannotBeCompared) {
  const Scenario place;
  Arguments arguments = EvaluateArguments(place, "runs.h5");
  arguments["reference"] = {place / "sparse.h5"};
  EXPECT_EQ(Generate("evaluate", arguments, Set({})).code, 2) << "the reference is dense";
  arguments = EvaluateArguments(place, "runs.h5");
  WriteBytes(place / "grid.yaml",
             "settings: [{name: a, rule: topk, k: 0.5}, {name: b, rule: topk, k: 0.5}]\n");
  const RunResult twice = Generate("evaluate", arguments, Set({}));
  EXPECT_EQ(twice.code, 2);
  EXPECT_NE(twice.err.find("'b': the same as another"), std::string::npos) << twice.err;
  WriteBytes(place / "grid.yaml", "setings: []\n");
  EXPECT_EQ(Generate("evaluate", arguments, Set({})).code, 2);

  ModelInfo other = DenseInfo();
  other.classes = {"box", "tree"};
  place.WriteModelFile("other.h5", other, place.weights);
  arguments = EvaluateArguments(place, "runs.h5");
  arguments["reference"] = {place / "other.h5"};
  EXPECT_EQ(Generate("evaluate", arguments, Set({})).code, 2) << "other classes";
}

}  // namespace
}  // namespace suffice::testing
