// SPDX-License-Identifier: Apache-2.0
// Where plots put their values, and what a long line keeps.
#include "lib/audit/plot.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace suffice::audit {
namespace {

std::string Line(const std::vector<double>& y, size_t window = 1,
                 const std::vector<PlotLevel>& levels = {}) {
  std::vector<double> x;
  for (size_t i = 0; i < y.size(); ++i) x.push_back(static_cast<double>(i + 1));
  return LinePlot(x, y, window, levels, "step", "loss");
}

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// The plot's area is x 70 to 490 and y 295 (below) to 15.
TEST(LinePlot, IsLinearFromZeroWhenValuesAreClose) {
  const std::string svg = Line({1.0, 0.5, 0.25, 0.75});
  EXPECT_TRUE(
      Has(svg, "<path class=\"line\" d=\"M175.0 15.0L280.0 155.0L385.0 225.0L490.0 85.0\"/>"))
      << svg;
  EXPECT_TRUE(Has(svg, ">0.8</text>") && Has(svg, ">4</text>")) << svg;
  EXPECT_TRUE(Has(svg, ">step</text>") && Has(svg, ">loss</text>")) << svg;
  EXPECT_FALSE(Has(svg, "class=\"front\""));
}

TEST(LinePlot, IsLogarithmicOverADecade) {
  const std::string svg = Line({10, 1, 0.1, 1});
  EXPECT_TRUE(Has(svg, "d=\"M175.0 15.0L280.0 155.0L385.0 295.0L490.0 155.0\"")) << svg;
  for (const char* tick : {">0.1</text>", ">0.5</text>", ">2</text>", ">10</text>"})
    EXPECT_TRUE(Has(svg, tick)) << tick << svg;
}

TEST(LinePlot, HasTicksAtPowersOfTenOverManyDecadesAndThenAtSomeOfThem) {
  const std::string seven = Line({1e-4, 100}), more = Line({1e-6, 1000});
  for (const char* tick : {">0.0001</text>", ">0.1</text>", ">10</text>"})
    EXPECT_TRUE(Has(seven, tick)) << tick << seven;
  for (const char* tick : {">0.02</text>", ">5</text>"}) EXPECT_FALSE(Has(seven, tick)) << seven;
  for (const char* tick : {">1e-06</text>", ">0.01</text>", ">100</text>"})
    EXPECT_TRUE(Has(more, tick)) << tick << more;
  for (const char* tick : {">0.1</text>", ">10</text>"}) EXPECT_FALSE(Has(more, tick)) << more;
}

TEST(LinePlot, WhatIsNotPositiveHasNoLogarithm) {
  EXPECT_TRUE(Has(Line({10, 0, 0.1, 5}), "L280.0 295.0")) << Line({10, 0, 0.1, 5});
}

TEST(LinePlot, ALevelIsWithinThePlotWithItsIntervalAndLabel) {
  const std::string svg = Line({1, 0.5}, 1, {{2, -1, 4, "held out <2>"}});
  EXPECT_TRUE(Has(svg, "<rect class=\"band\" x=\"70\" y=\"15.0\" width=\"420\" height=\"280.0\"/>"))
      << svg;
  EXPECT_TRUE(Has(svg, "<line class=\"level\" x1=\"70\" y1=\"155.0\" x2=\"490\" y2=\"155.0\"/>"))
      << svg;
  EXPECT_TRUE(Has(svg, ">held out &lt;2&gt;</text>")) << svg;
}

TEST(LinePlot, ALongLineIsThinnedAndKeepsItsPeak) {
  std::vector<double> y(100'000, 1.0);
  y[77'777] = 8;
  const std::string svg = Line(y);
  EXPECT_LT(std::count(svg.begin(), svg.end(), 'L'), 1100);
  EXPECT_TRUE(Has(svg, " 15.0L")) << "the peak, at the top of an axis that ends at 8";
}

TEST(LinePlot, TheMeanIsOfTheLastPoints) {
  const std::string svg = Line({1, 0.5, 0.5, 1}, 2);
  EXPECT_TRUE(
      Has(svg, "<path class=\"front\" d=\"M175.0 15.0L280.0 85.0L385.0 155.0L490.0 85.0\"/>"))
      << svg;
}

}  // namespace
}  // namespace suffice::audit
