package alerts

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

const repository = "../../.."

var promQL = parser.NewParser(parser.Options{})

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(repository, path))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// The rules of alerts.yaml, checked as Prometheus checks them when it loads a file: names, expressions, templates.
func alerts(t *testing.T) []rulefmt.Rule {
	t.Helper()
	var resource struct {
		Kind string
		Spec yaml.Node
	}
	if err := yaml.Unmarshal(read(t, "k8s/monitoring/alerts.yaml"), &resource); err != nil {
		t.Fatal(err)
	}
	if resource.Kind != "PrometheusRule" {
		t.Fatalf("alerts.yaml holds a %q", resource.Kind)
	}
	spec, err := yaml.Marshal(&resource.Spec)
	if err != nil {
		t.Fatal(err)
	}
	groups, errs := rulefmt.Parse(spec, false, model.UTF8Validation, promQL, nil)
	for _, err := range errs {
		t.Error(err)
	}
	if len(errs) > 0 {
		t.FailNow()
	}
	var rules []rulefmt.Rule
	for _, group := range groups.Groups {
		rules = append(rules, group.Rules...)
	}
	return rules
}

// The expressions of the dashboard by the title of their panel, with Grafana's variables as Grafana fills them in.
func panels(t *testing.T) map[string][]string {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Title   string
			Type    string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(read(t, "k8s/monitoring/dashboard.json"), &dashboard); err != nil {
		t.Fatal(err)
	}
	expressions := map[string][]string{}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			filled := strings.ReplaceAll(target.Expr, "$__rate_interval", "1m")
			expressions[panel.Title] = append(expressions[panel.Title], filled)
		}
		if panel.Type != "row" && len(panel.Targets) == 0 {
			t.Errorf("the panel %q shows nothing", panel.Title)
		}
	}
	return expressions
}

// Everything that alerts and panels select.
func selectors(t *testing.T) map[string][]*parser.VectorSelector {
	t.Helper()
	expressions := panels(t)
	for _, rule := range alerts(t) {
		expressions[rule.Alert] = append(expressions[rule.Alert], rule.Expr)
	}
	found := map[string][]*parser.VectorSelector{}
	for where, all := range expressions {
		for _, text := range all {
			expression, err := promQL.ParseExpr(text)
			if err != nil {
				t.Errorf("%s: %v", where, err)
				continue
			}
			parser.Inspect(expression, func(node parser.Node, _ []parser.Node) error {
				if selector, ok := node.(*parser.VectorSelector); ok {
					found[where] = append(found[where], selector)
				}
				return nil
			})
		}
	}
	return found
}

// Metrics by the program that has them. Those of the database's gauges and of Dapr are compared with the running
// service by the end-to-end tests (tests/api/monitoring.rs).
var known = map[string][]string{
	"CloudNativePG 1.30, docs/src/monitoring.md": {
		"cnpg_collector_pg_wal_archive_status",
		"cnpg_collector_sync_replicas",
	},
	"CloudNativePG 1.30, docs/src/connection_pooling.md": {
		"cnpg_pgbouncer_pools_cl_active",
		"cnpg_pgbouncer_pools_cl_waiting",
		"cnpg_pgbouncer_pools_sv_active",
	},
	"plugin-barman-cloud, web/docs/observability.md": {
		"barman_cloud_cloudnative_pg_io_last_available_backup_timestamp",
	},
	"the exporter of Strimzi 1.2": {
		"kafka_consumergroup_lag",
		"kafka_topic_partition_under_replicated_partition",
	},
	"Spin 3.6, crates/factors-executor": {
		"spin_component_cpu_time_sum",
	},
	"the collector's spanmetrics, with the namespace and unit of collector.yaml": {
		"traces_span_metrics_calls_total",
		"traces_span_metrics_duration_seconds_bucket",
	},
}

func TestMetricsExist(t *testing.T) {
	names := map[string]bool{}
	for _, metrics := range known {
		for _, name := range metrics {
			names[name] = false
		}
	}
	for where, all := range selectors(t) {
		for _, selector := range all {
			switch name := selector.Name; {
			case strings.HasPrefix(name, "cnpg_todo_events_"), strings.HasPrefix(name, "dapr_"):
			default:
				if _, ok := names[name]; !ok {
					t.Errorf("%s: who has %s?", where, name)
				}
				names[name] = true
			}
		}
	}
	for name, used := range names {
		if !used {
			t.Errorf("nothing uses %s any more", name)
		}
	}
}

func TestJobsAreMonitored(t *testing.T) {
	jobs := map[string]bool{}
	documents := yaml.NewDecoder(strings.NewReader(string(read(t, "k8s/monitoring/pod-monitors.yaml"))))
	for {
		var monitor struct {
			Metadata struct{ Name, Namespace string }
		}
		if documents.Decode(&monitor) != nil {
			break
		}
		jobs[monitor.Metadata.Namespace+"/"+monitor.Metadata.Name] = true
	}
	for where, all := range selectors(t) {
		for _, selector := range all {
			for _, matcher := range selector.LabelMatchers {
				if matcher.Name == "job" && !jobs[matcher.Value] {
					t.Errorf("%s: no PodMonitor makes the job %q; there are %v", where, matcher.Value, jobs)
				}
			}
		}
	}
}

func TestAlertsSayWhatToDo(t *testing.T) {
	operations := strings.ToLower(string(read(t, "docs/operations.md")))
	for _, rule := range alerts(t) {
		if severity := rule.Labels["severity"]; severity != "warning" && severity != "critical" {
			t.Errorf("%s: severity %q", rule.Alert, severity)
		}
		for _, name := range []string{"summary", "description", "runbook_url"} {
			if rule.Annotations[name] == "" {
				t.Errorf("%s has no %s", rule.Alert, name)
			}
		}
		page, anchor, _ := strings.Cut(rule.Annotations["runbook_url"], "#")
		if !strings.HasSuffix(page, "/docs/operations.md") || anchor != strings.ToLower(rule.Alert) {
			t.Errorf("%s: its section is not at %s#%s", rule.Alert, page, anchor)
		}
		if !strings.Contains(operations, "\n### "+anchor+"\n") {
			t.Errorf("docs/operations.md has no section %q", rule.Alert)
		}
	}
}
