// SPDX-License-Identifier: Apache-2.0
// A contract may put the tokens in another order than the teacher's file says.
#include <nlohmann/json.hpp>

#include "lib/distill/verbs.h"
#include "tests/generate/generate_testing.h"

namespace suffice::testing {
namespace {

TEST(DistillSparse, FollowsATeacherInAnotherTokenOrder) {
  const Scenario place;
  ModelInfo tiled = DenseInfo();
  tiled.architecture.token_order = "tiles";
  tiled.architecture.tile = {2, 4, 4};
  Contract contract = TwoSettings();
  contract.token_order = "tiles";
  contract.tile = {2, 4, 4};
  contract.settings.push_back(DenseSetting());
  tiled.contract = contract;
  place.WriteModelFile("tiled.h5", tiled, place.weights);
  const auto error = [&](const std::string& setting) {
    Options options = Set({"train.steps=1", "train.batch=1", "train.held_out_draws=2",
                           "train.compute=f32", "train.optimizer.lr=0.0001", "setting=" + setting});
    options.json = options.force = true;
    const RunResult run = RunTool(distill::Verbs(), "sparse",
                                  {{"model", {place / "tiled.h5"}},
                                   {"teacher", {place / "dense.h5"}},
                                   {"data", {place / "clips.h5"}},
                                   {"output", {place / "student.h5"}}},
                                  options);
    EXPECT_EQ(run.code, 0) << run.err;
    EXPECT_NE(run.err.find("step 1/1, loss"), std::string::npos) << run.err;
    const size_t at = run.err.find("step 1/1, loss ") + 15;
    return std::pair{nlohmann::json::parse(run.out)["before"]["e"].get<double>(),
                     std::stod(run.err.substr(at))};
  };
  // Dense in tiles is the teacher in raster order: to rounding in what is measured, and in the
  // training loss, which is taken token by token.
  const auto [same, same_loss] = error("dense");
  EXPECT_LT(same, 1e-8);
  EXPECT_LT(same_loss, 1e-5);
  EXPECT_GT(error("quarter").first, 1e-4);
}

}  // namespace
}  // namespace suffice::testing
