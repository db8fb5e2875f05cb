// SPDX-License-Identifier: Apache-2.0
#include "lib/config/yaml.h"
#include "lib/model/rectified_flow.h"
#include "lib/policy/selection.h"
#include "tests/generate/generate_testing.h"

namespace suffice::testing {
namespace {

Arguments SampleArguments(const Scenario& place, const std::string& model,
                          const std::string& output) {
  return {{"model", {place / model}}, {"output", {place / output}}};
}

// A ladder: each file with a setting.
std::string WriteLadder(const Scenario& place,
                        const std::vector<std::pair<std::string, Setting>>& rungs) {
  Selection selection;
  selection.p_value = "binomial";
  selection.loss = "failure";
  for (const auto& [digest, setting] : rungs) selection.rungs.push_back({digest, setting, 1, true});
  const std::string path = place / "selection.yaml";
  WriteBytes(path, DumpYaml(FieldsOf(selection)));
  return path;
}

TEST(Sample, IsAnEulerStepOfTheGuidedVelocity) {
  const Scenario place;
  const RunResult run = Generate("sample", SampleArguments(place, "sparse.h5", "s.h5"),
                                 Set({"steps=2", "guidance=3", "class=cup,0", "compute=f32",
                                      "save_trajectory=true", "shift=2", "setting=quarter"}));
  ASSERT_EQ(run.code, 0) << run.err;
  const TensorReader file(place / "s.h5", EncodingType::kSamples);
  const HostArray labels = file.Read("/labels");
  EXPECT_EQ(labels.values<int32_t>()[0], 1);
  EXPECT_EQ(labels.values<int32_t>()[1], 0);
  EXPECT_EQ(file.StringAttribute("/", "model"), ContentDigest(place / "sparse.h5"));
  EXPECT_EQ(file.FloatAttribute("/", "density"), 0.25);
  const HostArray t = file.Read("/trajectory/t");
  EXPECT_DOUBLE_EQ(t.values<double>()[1], 2 * 0.5 / 1.5);

  // The second sample's first step by hand.
  Context context({.backend = "cpu", .isa = "auto", .threads = 1, .device = 0});
  const TensorReader model_file(place / "sparse.h5");
  const ModelInfo info = ReadModelInfo(model_file);
  const auto model = LoadModel(context, model_file, info, DType::kF32);
  const Shape shape = info.ClipShape(1);
  const int64_t size = shape.elements();
  const Tensor noise = FlowNoise(context, shape, 7, static_cast<uint64_t>(size));
  const auto velocity = [&](int32_t label) {
    const int32_t labels_host[] = {label};
    Conditioning condition;
    condition.t = TimesTensor(context, {1.0});
    condition.labels =
        Tensor::FromHost(context, HostArray::From<int32_t>({1}, std::span(labels_host)));
    const AttentionPlan plan =
        PlanAt(info.contract->settings[1], info.block(), info.architecture.depth, 2, 1.0);
    ForwardOptions options;
    options.plan = &plan;
    return model->Velocity(noise, condition, options).ToHost();
  };
  const HostArray u_c = velocity(0), u_0 = velocity(2), eps = noise.ToHost();
  const HostArray trajectory = file.Read("/trajectory/x");
  ASSERT_EQ(trajectory.shape(), (Shape{2, 3, 3, 4, 32, 32}));
  const double h = t.values<double>()[1] - 1;
  for (int64_t i = 0; i < size; ++i) {
    const auto at = static_cast<size_t>(i);
    const double u = u_0.values<float>()[at] +
                     3.0 * (double{u_c.values<float>()[at]} - double{u_0.values<float>()[at]});
    const auto row = static_cast<size_t>(3 * size + i);
    ASSERT_EQ(trajectory.values<float>()[row], eps.values<float>()[at]);
    ASSERT_NEAR(trajectory.values<float>()[row + static_cast<size_t>(size)],
                double{eps.values<float>()[at]} + h * u, 1e-4);
  }
  const HostArray video = file.Read("/video");
  EXPECT_TRUE(std::equal(video.values<float>().begin() + size, video.values<float>().end(),
                         trajectory.values<float>().begin() + 5 * size));
}

TEST(Sample, HasTheSameBitsWithAnyThreadsAndAfterAStop) {
  const Scenario place;
  for (const char* solver : {"solver=euler", "solver=heun"}) {
    Options options = Set({"steps=4", "count=3", "batch=2", "guidance=1.5", solver});
    options.force = true;
    options.context.threads = 1;
    ASSERT_EQ(Generate("sample", SampleArguments(place, "sparse.h5", "one.h5"), options).code, 0);
    options.context.threads = 2;
    ASSERT_EQ(Generate("sample", SampleArguments(place, "sparse.h5", "two.h5"), options).code, 0);
    EXPECT_EQ(ContentDigest(place / "one.h5"), ContentDigest(place / "two.h5"));

    const Arguments arguments = SampleArguments(place, "sparse.h5", "three.h5");
    const RunResult stopped = Generate("sample", arguments, options, "step 1/4");
    ASSERT_EQ(stopped.code, 75) << stopped.err;
    {
      const TensorReader checkpoint(place / "three.h5.checkpoint");
      EXPECT_EQ(checkpoint.IntAttribute("/state", "step"), 1);
    }
    options.resume = true;
    options.checkpoint_seconds = 0;  // and one after every step, also between batches
    const RunResult resumed = Generate("sample", arguments, options);
    ASSERT_EQ(resumed.code, 0) << resumed.err;
    EXPECT_EQ(ContentDigest(place / "one.h5"), ContentDigest(place / "three.h5"));
  }
}

TEST(Sample, RunsTheFirstRungOfASelection) {
  const Scenario place;
  const std::string sparse = ContentDigest(place / "sparse.h5"),
                    dense = ContentDigest(place / "dense.h5"), unknown(64, 'e');
  Setting own;  // measured, not of the contract
  own.name = "own";
  own.rule = "topk";
  own.k = {750'000};
  const auto sample = [&](const std::string& selection, const std::string& model,
                          const std::vector<std::string>& fallback,
                          const std::vector<std::string>& sets = {}) {
    Arguments arguments = SampleArguments(place, model, "s.h5");
    arguments["selection"] = {selection};
    for (const std::string& name : fallback) arguments["fallback"].push_back(place / name);
    std::vector<std::string> all = {"steps=1", "count=1"};
    all.insert(all.end(), sets.begin(), sets.end());
    Options options = Set(all);
    options.force = true;
    return Generate("sample", arguments, options);
  };
  const std::string ladder = WriteLadder(place, {{sparse, own}, {dense, DenseSetting()}});
  ASSERT_EQ(sample(ladder, "sparse.h5", {"dense.h5"}).code, 0);
  {
    const TensorReader file(place / "s.h5");
    EXPECT_EQ(file.StringAttribute("/", "model"), sparse);
    EXPECT_EQ(file.FloatAttribute("/", "density"), 0.75);
  }
  EXPECT_EQ(sample(ladder, "dense.h5", {"sparse.h5"}).code, 0) << "whichever is named first";
  EXPECT_EQ(TensorReader(place / "s.h5").StringAttribute("/", "model"), sparse);
  EXPECT_EQ(sample(ladder, "sparse.h5", {}).code, 0) << "the first rung is what is needed";

  const RunResult missing = sample(ladder, "dense.h5", {});
  EXPECT_EQ(missing.code, 3);
  EXPECT_NE(missing.err.find(sparse.substr(0, 16)), std::string::npos) << missing.err;
  const std::string foreign =
      WriteLadder(place, {{unknown, own}, {std::string(64, 'f'), DenseSetting()}});
  const RunResult neither = sample(foreign, "sparse.h5", {"dense.h5"});
  EXPECT_EQ(neither.code, 2);
  EXPECT_NE(neither.err.find(sparse.substr(0, 16)), std::string::npos) << neither.err;
  EXPECT_NE(neither.err.find(unknown.substr(0, 16)), std::string::npos) << neither.err;
  const std::string again = WriteLadder(place, {{sparse, own}, {dense, DenseSetting()}});
  EXPECT_EQ(sample(again, "sparse.h5", {}, {"setting=half"}).code, 2);
  WriteBytes(place / "not.yaml", "rungs: []\n");
  EXPECT_EQ(sample(place / "not.yaml", "sparse.h5", {}).code, 3);
}

TEST(Sample, RefusesWhatIsOutsideTheContract) {
  const Scenario place;
  const auto sample = [&](const std::string& model, const std::string& set) {
    return Generate("sample", SampleArguments(place, model, "s.h5"), Set({"steps=1", set}));
  };
  const RunResult setting = sample("sparse.h5", "setting=tenth");
  EXPECT_EQ(setting.code, 2);
  EXPECT_NE(setting.err.find("'tenth' was asked for, its contract has half, quarter"),
            std::string::npos);
  const RunResult larger = sample("sparse.h5", "width=64");
  EXPECT_EQ(larger.code, 2);
  EXPECT_NE(larger.err.find("4 frames of 64x32: asked for"), std::string::npos) << larger.err;
  EXPECT_NE(larger.err.find("is for 4 of 32x32"), std::string::npos) << larger.err;
  EXPECT_EQ(sample("sparse.h5", "class=tree").code, 2);
  EXPECT_EQ(sample("sparse.h5", "class=2").code, 2);
  EXPECT_EQ(sample("dense.h5", "setting=half").code, 2);
  EXPECT_FALSE(std::filesystem::exists(place / "s.h5"));
  EXPECT_EQ(sample("dense.h5", "width=64").code, 0) << "a dense model has no contract";
}

TEST(Sample, RefusesWeightsThatAreNotNumbers) {
  const Scenario place;
  std::vector<NamedArray> weights = place.weights;
  weights[3].array.values<float>()[1] = std::nanf("");
  place.WriteModelFile("nan.h5", DenseInfo(), weights);
  const RunResult run = Generate("sample", SampleArguments(place, "nan.h5", "s.h5"), Set({}));
  EXPECT_EQ(run.code, 3);
  EXPECT_NE(run.err.find("/params/" + weights[3].name), std::string::npos) << run.err;
}

}  // namespace
}  // namespace suffice::testing
