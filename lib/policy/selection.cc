// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/selection.h"

#include "lib/base/error.h"
#include "lib/config/yaml.h"

namespace suffice {

void Visit(Fields& f, Rung& c) {
  f("model", c.model, "content digest of the model file");
  f.Group("setting", c.setting, "what its attention keeps");
  f("cost", c.cost, "mean cost on the order split");
  f("certified", c.certified, "whether its risk is certified; the dense model needs none");
}

void Visit(Fields& f, Evidence& c) {
  f("model", c.model, "content digest of the model file");
  f("setting", c.setting, "name of the setting");
  f("cost", c.cost, "mean cost on the order split");
  f("mean_loss", c.mean_loss, "mean loss on the test split");
  f("p_value", c.p_value, "of the hypothesis that the risk exceeds alpha");
  f("certified", c.certified, "the hypothesis was rejected at level delta");
}

void Visit(Fields& f, Selection& c) {
  f("runs", c.runs, "content digest of the runs file");
  f("population", c.population, "of what the guarantee speaks");
  f("guarantee", c.guarantee, "the statement; empty if nothing was certified");
  f("loss", c.loss, "which loss");
  f("p_value", c.p_value, "which p-value").OneOf({"binomial", "hoeffding_bentkus"});
  f("alpha", c.alpha, "the risk that is allowed").Range(0, 1);
  f("delta", c.delta, "the probability that the statement is wrong, at most").Range(0, 1);
  f("n", c.n, "units of the test split").Range(0, 1e12);
  f.List("rungs", c.rungs, "the ladder, first choice first; the last is the dense model");
  f.List("evidence", c.evidence, "the tests, in the order in which they were made");
}

Selection ReadSelection(const std::string& path) {
  Selection selection;
  selection.p_value = "binomial";
  LoadYamlFile(path, FieldsOf(selection), nullptr, ExitCode::kData);
  if (selection.rungs.empty()) throw DataError("{}: no rungs: not a selection", path);
  for (const Rung& rung : selection.rungs) {
    if (rung.model.size() != 64)
      throw DataError("{}: rung '{}': no model digest", path, rung.setting.name);
  }
  if (!selection.rungs.back().setting.dense()) {
    throw DataError("{}: the last rung is '{}', the dense model is wanted", path,
                    selection.rungs.back().setting.name);
  }
  return selection;
}

}  // namespace suffice
