// What a scheduler_config.json may say.
#include <set>

#include "base/error.h"
#include "formats/json_text.h"
#include "schedulers/scheduler.h"
#include "support/catch.h"

using namespace stamp;

namespace {

template <class E = DataError>
std::string fault(const std::string& text, std::int64_t steps = 5) {
  try {
    make_scheduler(parse_json(text, "scheduler_config.json"), steps);
  } catch (const E& error) {
    return error.what();
  }
  return "";
}
std::string dpm(const std::string& more) {
  return R"({"_class_name": "DPMSolverMultistepScheduler", )" + more + "}";
}
bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("Published configurations are read") {
  const char* pixart = R"({"_class_name": "DPMSolverMultistepScheduler", "_diffusers_version": "0.27.0.dev0",
    "algorithm_type": "dpmsolver++", "beta_end": 0.02, "beta_schedule": "linear", "beta_start": 0.0001,
    "dynamic_thresholding_ratio": 0.995, "euler_at_final": false, "lambda_min_clipped": -Infinity,
    "lower_order_final": true, "num_train_timesteps": 1000, "prediction_type": "epsilon", "sample_max_value": 1.0,
    "solver_order": 2, "solver_type": "midpoint", "steps_offset": 0, "thresholding": false,
    "timestep_spacing": "linspace", "trained_betas": null, "use_karras_sigmas": false, "use_lu_lambdas": false,
    "variance_type": null})";
  CHECK(fault(pixart) == "");
  const char* sana = R"({"_class_name": "DPMSolverMultistepScheduler", "_diffusers_version": "0.32.0.dev0",
    "algorithm_type": "dpmsolver++", "beta_end": 0.02, "beta_schedule": "linear", "beta_start": 0.0001,
    "dynamic_thresholding_ratio": 0.995, "euler_at_final": false, "final_sigmas_type": "zero", "flow_shift": 3.0,
    "lambda_min_clipped": -Infinity, "lower_order_final": true, "num_train_timesteps": 1000,
    "prediction_type": "flow_prediction", "rescale_betas_zero_snr": false, "sample_max_value": 1.0, "solver_order": 2,
    "solver_type": "midpoint", "steps_offset": 0, "thresholding": false, "timestep_spacing": "linspace",
    "trained_betas": null, "use_beta_sigmas": false, "use_exponential_sigmas": false, "use_flow_sigmas": true,
    "use_karras_sigmas": false, "use_lu_lambdas": false, "variance_type": null})";
  CHECK(fault(sana) == "");
  const char* dit = R"({"_class_name": "DDIMScheduler", "_diffusers_version": "0.12.0.dev0", "beta_end": 0.02,
    "beta_schedule": "linear", "beta_start": 0.0001, "clip_sample": false, "num_train_timesteps": 1000,
    "prediction_type": "epsilon", "set_alpha_to_one": true, "steps_offset": 0, "trained_betas": null})";
  CHECK(fault(dit) == "");
  const char* sprint = R"({"_class_name": "SCMScheduler", "_diffusers_version": "0.33.0", "num_train_timesteps": 1000,
    "prediction_type": "trigflow", "sigma_data": 0.5})";
  CHECK(fault(sprint) == "");
  CHECK(fault(R"({"_class_name": "FlowMatchEulerDiscreteScheduler", "base_image_seq_len": 256, "base_shift": 0.5,
    "invert_sigmas": false, "max_image_seq_len": 4096, "max_shift": 1.15, "num_train_timesteps": 1000, "shift": 3.0,
    "shift_terminal": null, "use_beta_sigmas": false, "use_dynamic_shifting": false, "use_exponential_sigmas": false,
    "use_karras_sigmas": false})") == "");
}

TEST_CASE("Settings that would change the result are refused by name") {
  for (const char* more : {R"("use_karras_sigmas": true)",
                           R"("use_exponential_sigmas": true)",
                           R"("use_beta_sigmas": true)",
                           R"("use_lu_lambdas": true)",
                           R"("thresholding": true)",
                           R"("use_dynamic_shifting": true)",
                           R"("solver_order": 3)",
                           R"("solver_type": "heun")",
                           R"("algorithm_type": "sde-dpmsolver++")",
                           R"("algorithm_type": "dpmsolver")",
                           R"("prediction_type": "v_prediction")",
                           R"("prediction_type": "sample")",
                           R"("prediction_type": "flow_prediction")",
                           R"("timestep_spacing": "trailing")",
                           R"("lambda_min_clipped": -5.1)",
                           R"("lambda_min_clipped": 0)",
                           R"("variance_type": "learned_range")",
                           R"("final_sigmas_type": "sigma_min")",
                           R"("rescale_betas_zero_snr": true)",
                           R"("trained_betas": [0.1, 0.2])",
                           R"("beta_schedule": "squaredcos_cap_v2")",
                           R"("use_flow_sigmas": true)",
                           R"("num_train_timesteps": 1)"}) {
    INFO(more);
    const std::string text = more, message = fault(dpm(text));
    const std::string key = text.substr(1, text.find('"', 1) - 1);
    // Flow matching needs the prediction to be said too.
    CHECK(holds(message, "scheduler_config.json: " + (key == "use_flow_sigmas" ? "prediction_type" : key) + ": "));
    CHECK(holds(message, "allowed: "));
  }
  CHECK(holds(fault(R"({"_class_name": "DDIMScheduler", "timestep_spacing": "linspace"})"), "timestep_spacing"));
  CHECK(holds(fault(R"({"_class_name": "DDIMScheduler", "steps_offset": 201})"), "steps_offset"));
  CHECK(fault(R"({"_class_name": "DDIMScheduler", "steps_offset": 199})") == "");
  CHECK(holds(fault(R"({"_class_name": "FlowMatchEulerDiscreteScheduler", "invert_sigmas": true})"), "invert_sigmas"));
  CHECK(holds(fault(R"({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift_terminal": 0.1})"), "shift_terminal"));
}

TEST_CASE("Unknown fields, classes and types are told with the nearest name") {
  CHECK(holds(fault(dpm(R"("flow_shfit": 3.0)")), "did you mean \"flow_shift\"?"));
  CHECK(holds(fault(dpm(R"("flow_shift": "3")")), "flow_shift: \"3\""));
  CHECK(holds(fault(dpm(R"("thresholding": 1)")), "thresholding: 1"));
  CHECK(holds(fault(R"({"_class_name": "DPMSolverMultiStepScheduler"})"),
              "did you mean \"DPMSolverMultistepScheduler\"?"));
  CHECK(holds(fault("{}"), "_class_name: missing"));
  CHECK(holds(fault("[]"), "not a JSON object"));
}

TEST_CASE("The number of steps has to fit the schedule") {
  CHECK(holds(fault<TrialError>(dpm(R"("solver_order": 1)"), 0), "0 steps"));
  CHECK(fault<TrialError>(dpm(R"("solver_order": 1)"), 999) == "");
  CHECK(holds(fault<TrialError>(dpm(R"("solver_order": 1)"), 1000), "1 to 999"));
  CHECK(holds(fault<TrialError>(R"({"_class_name": "DDIMScheduler"})", 1001), "1 to 1000"));
}

TEST_CASE("Every scheduler is described in one line and has a name of its own") {
  std::set<std::string> names;
  for (const SchedulerPlugin& plugin : schedulers()) {
    CHECK(names.insert(plugin.info.name).second);
    for (const std::string& text : {plugin.info.summary, plugin.info.source, plugin.info.cost}) {
      CHECK_FALSE(text.empty());
      CHECK_FALSE(holds(text, "\n"));
    }
  }
  CHECK(names.size() == 4);
}
