package alerts

import (
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/rulefmt"
)

// A story has the series of ten minutes or more; the alert is looked at when they end.
var stories = []struct {
	alert  string
	story  string
	fires  bool
	at     time.Duration
	series []string
}{
	{"TodoEventsUnpublished", "the broker is away", true, 5 * time.Minute, []string{
		`cnpg_todo_events_oldest_unpublished_seconds{pod="todo-events-db-1"} 0+30x10`,
	}},
	{"TodoEventsUnpublished", "it was away for two minutes", false, 5 * time.Minute, []string{
		`cnpg_todo_events_oldest_unpublished_seconds{pod="todo-events-db-1"} 0+30x4 0x6`,
	}},
	{"TodoEventsUnpublished", "before and after a failover", true, 5 * time.Minute, []string{
		`cnpg_todo_events_oldest_unpublished_seconds{pod="todo-events-db-1"} 0+30x7 stale`,
		`cnpg_todo_events_oldest_unpublished_seconds{pod="todo-events-db-2"} _x8 240+30x3`,
	}},
	{"TodoEventsLaneBlocked", "an event is refused", true, time.Minute, []string{
		`cnpg_todo_events_blocked_lanes 0 0 1`,
	}},
	{"TodoEventsLaneBlocked", "none is", false, time.Minute, []string{
		`cnpg_todo_events_blocked_lanes 0x10`,
	}},
	{"TodoEventsBreakerOpen", "one dependency is away", true, 5 * time.Minute, []string{
		`cnpg_todo_events_breakers_open{dependency="pubsub"} 0 0 3x8`,
		`cnpg_todo_events_breakers_open{dependency="jobs"} 0x10`,
	}},
	{"TodoEventsBreakerOpen", "each for a moment, one after the other", false, 5 * time.Minute, []string{
		`cnpg_todo_events_breakers_open{dependency="pubsub"} 0x4 1x2 0x3`,
		`cnpg_todo_events_breakers_open{dependency="jobs"} 0x7 1x2`,
	}},
	{"TodoEventsConsumerLag", "a group sleeps", true, 20 * time.Minute, []string{
		`kafka_consumergroup_lag{consumergroup="reminder", topic="tasks", partition="0"} 0+50x40`,
		`kafka_consumergroup_lag{consumergroup="reminder", topic="tasks", partition="1"} 0+50x40`,
	}},
	{"TodoEventsConsumerLag", "little in each partition, and one never read from", false, 20 * time.Minute, []string{
		`kafka_consumergroup_lag{consumergroup="reminder", topic="tasks", partition="0"} 400x40`,
		`kafka_consumergroup_lag{consumergroup="reminder", topic="tasks", partition="1"} -1x40`,
		`kafka_consumergroup_lag{consumergroup="recurrence", topic="tasks", partition="0"} 900x40`,
	}},
	{"TodoEventsConsumerLag", "a burst that is dealt with in some minutes", false, 10 * time.Minute, []string{
		`kafka_consumergroup_lag{consumergroup="reminder", topic="tasks", partition="0"} 0x6 5000-400x12 0x5`,
	}},
	{"TodoEventsConsumerLag", "a group of somebody else's", false, 20 * time.Minute, []string{
		`kafka_consumergroup_lag{consumergroup="other", topic="tasks", partition="0"} 9000x40`,
	}},
	{"TodoEventsKafkaUnderReplicated", "a broker does not come back", true, 20 * time.Minute, []string{
		`kafka_topic_partition_under_replicated_partition{topic="tasks", partition="0"} 0x4 1x40`,
		`kafka_topic_partition_under_replicated_partition{topic="tasks", partition="1"} 0x44`,
	}},
	{"TodoEventsKafkaUnderReplicated", "brokers are restarted one after another", false, 20 * time.Minute, []string{
		`kafka_topic_partition_under_replicated_partition{topic="tasks", partition="0"} 0x4 1x5 0x30`,
		`kafka_topic_partition_under_replicated_partition{topic="tasks", partition="1"} 0x12 1x5 0x30`,
	}},
	{"TodoEventsKafkaUnderReplicated", "a topic of somebody else's", false, 20 * time.Minute, []string{
		`kafka_topic_partition_under_replicated_partition{topic="other", partition="0"} 1x44`,
	}},
	{"TodoEventsDeadLetters", "one arrives", true, time.Minute, []string{
		`cnpg_todo_events_open_dead_letters 0 0 1`,
	}},
	{"TodoEventsDeadLetters", "it is discarded", false, time.Minute, []string{
		`cnpg_todo_events_open_dead_letters 1 1 0`,
	}},
	{"TodoEventsRemindersOverdue", "nothing triggers them", true, 6 * time.Minute, []string{
		`cnpg_todo_events_oldest_overdue_seconds 0+30x12`,
	}},
	{"TodoEventsRemindersOverdue", "the sweep does", false, 6 * time.Minute, []string{
		`cnpg_todo_events_oldest_overdue_seconds 0 5 35 65 0x8`,
	}},
	{"TodoEventsDown", "every probe fails", true, 10 * time.Minute, []string{
		`dapr_http_healthprobes_completed_count{app_id="todo-events", status="200", pod="a"} 0+30x4 120x16`,
		`dapr_http_healthprobes_completed_count{app_id="todo-events", status="503", pod="a"} 0x4 0+30x16`,
	}},
	{"TodoEventsDown", "there is no sidecar", true, 10 * time.Minute, nil},
	{"TodoEventsDown", "one replica of two is ready", false, 10 * time.Minute, []string{
		`dapr_http_healthprobes_completed_count{app_id="todo-events", status="200", pod="a"} 0+30x20`,
		`dapr_http_healthprobes_completed_count{app_id="todo-events", status="200", pod="b"} 50x20`,
	}},
	{"TodoEventsRequestErrors", "a tenth fails", true, 15 * time.Minute, []string{
		`traces_span_metrics_calls_total{service_name="spin", span_kind="SPAN_KIND_SERVER", http_route="/...", http_response_status_code="200"} 0+90x30`,
		`traces_span_metrics_calls_total{service_name="spin", span_kind="SPAN_KIND_SERVER", http_route="/...", http_response_status_code="503"} 0+9x30`,
		`traces_span_metrics_calls_total{service_name="spin", span_kind="SPAN_KIND_SERVER", http_response_status_code="500"} 0+1x30`,
	}},
	{"TodoEventsRequestErrors", "only handlers fail", false, 15 * time.Minute, []string{
		`traces_span_metrics_calls_total{service_name="spin", span_kind="SPAN_KIND_SERVER", http_route="/...", http_response_status_code="200"} 0+90x30`,
		`traces_span_metrics_calls_total{service_name="spin", span_kind="SPAN_KIND_SERVER", http_route="/...", http_response_status_code="422"} 0+90x30`,
		`traces_span_metrics_calls_total{service_name="spin", span_kind="SPAN_KIND_SERVER", http_route="/api/events/tasks", http_response_status_code="500"} 0+90x30`,
		`traces_span_metrics_calls_total{service_name="spin", span_kind="SPAN_KIND_SERVER", http_route="/job/...", http_response_status_code="500"} 0+90x30`,
	}},
	{"TodoEventsDeliveryErrors", "a handler fails", true, 15 * time.Minute, []string{
		`dapr_component_pubsub_ingress_count{app_id="todo-events", component="kafka-pubsub", topic="tasks", process_status="success"} 0+10x30`,
		`dapr_component_pubsub_ingress_count{app_id="todo-events", component="kafka-pubsub", topic="tasks", process_status="retry"} 0+1x30`,
	}},
	{"TodoEventsDeliveryErrors", "one delivery in hundred is retried", false, 15 * time.Minute, []string{
		`dapr_component_pubsub_ingress_count{app_id="todo-events", component="kafka-pubsub", topic="tasks", process_status="success"} 0+99x30`,
		`dapr_component_pubsub_ingress_count{app_id="todo-events", component="kafka-pubsub", topic="tasks", process_status="retry"} 0+1x30`,
	}},
	{"TodoEventsGaugesMissing", "there is no primary", true, 15 * time.Minute, []string{
		`cnpg_todo_events_unpublished_events{pod="todo-events-db-1"} 0x5 stale`,
	}},
	{"TodoEventsGaugesMissing", "a failover", false, 15 * time.Minute, []string{
		`cnpg_todo_events_unpublished_events{pod="todo-events-db-1"} 0x5 stale`,
		`cnpg_todo_events_unpublished_events{pod="todo-events-db-2"} _x8 0x25`,
	}},
	{"TodoEventsTransactionIds", "vacuum does not keep up", true, 30 * time.Minute, []string{
		`cnpg_todo_events_transactions_unfrozen{pod="todo-events-db-1"} 450000000+5000000x60`,
	}},
	{"TodoEventsTransactionIds", "it began as it should, and froze", false, 30 * time.Minute, []string{
		`cnpg_todo_events_transactions_unfrozen{pod="todo-events-db-1"} 150000000+5000000x20 250000000-5000000x40`,
	}},
	{"TodoEventsOldSnapshot", "a forgotten transaction", true, 50 * time.Minute, []string{
		`cnpg_todo_events_transactions_oldest_snapshot_seconds{pod="todo-events-db-1"} 0+30x100`,
		`cnpg_todo_events_transactions_since_snapshot{pod="todo-events-db-1"} 0+1000x100`,
	}},
	{"TodoEventsOldSnapshot", "a slot that nobody uses", true, 50 * time.Minute, []string{
		`cnpg_todo_events_transactions_oldest_snapshot_seconds{pod="todo-events-db-1"} 0x100`,
		`cnpg_todo_events_transactions_since_snapshot{pod="todo-events-db-1"} 50000000+1000000x100`,
	}},
	{"TodoEventsOldSnapshot", "a dump of a quarter of an hour", false, 50 * time.Minute, []string{
		`cnpg_todo_events_transactions_oldest_snapshot_seconds{pod="todo-events-db-1"} 0x60 0+30x30 0x10`,
		`cnpg_todo_events_transactions_since_snapshot{pod="todo-events-db-1"} 0x60 0+100000x30 0x10`,
	}},
	{"TodoEventsStandbyMissing", "both standbys are gone", true, 10 * time.Minute, []string{
		`cnpg_collector_sync_replicas{job="todo-app/todo-events-db", pod="todo-events-db-1", value="expected"} 1x20`,
		`cnpg_collector_sync_replicas{job="todo-app/todo-events-db", pod="todo-events-db-1", value="observed"} 2x5 0x15`,
	}},
	{"TodoEventsStandbyMissing", "one of two is gone", false, 10 * time.Minute, []string{
		`cnpg_collector_sync_replicas{job="todo-app/todo-events-db", pod="todo-events-db-1", value="expected"} 1x20`,
		`cnpg_collector_sync_replicas{job="todo-app/todo-events-db", pod="todo-events-db-1", value="observed"} 2x5 1x15`,
		`cnpg_collector_sync_replicas{job="todo-app/todo-events-db", pod="todo-events-db-2", value="expected"} 1x20`,
		`cnpg_collector_sync_replicas{job="todo-app/todo-events-db", pod="todo-events-db-2", value="observed"} 0x20`,
	}},
	{"TodoEventsBackupOld", "the last is two days old", true, time.Hour, []string{
		// Seconds since 1970 of two days before.
		`barman_cloud_cloudnative_pg_io_last_available_backup_timestamp{job="todo-app/todo-events-db"} 1893283200x120`,
	}},
	{"TodoEventsBackupOld", "none was made", true, time.Hour, []string{
		`barman_cloud_cloudnative_pg_io_last_available_backup_timestamp{job="todo-app/todo-events-db"} 0x120`,
	}},
	{"TodoEventsBackupOld", "the last is of this night", false, time.Hour, []string{
		`barman_cloud_cloudnative_pg_io_last_available_backup_timestamp{job="todo-app/todo-events-db"} 1893452400x120`,
	}},
	{"TodoEventsWalNotArchived", "the bucket refuses", true, 30 * time.Minute, []string{
		`cnpg_collector_pg_wal_archive_status{job="todo-app/todo-events-db", value="ready"} 0+2x60`,
	}},
	{"TodoEventsWalNotArchived", "a few wait", false, 30 * time.Minute, []string{
		`cnpg_collector_pg_wal_archive_status{job="todo-app/todo-events-db", value="ready"} 3x60`,
		`cnpg_collector_pg_wal_archive_status{job="todo-app/todo-events-db", value="done"} 0+10x60`,
	}},
}

func TestAlerts(t *testing.T) {
	rules := map[string]rulefmt.Rule{}
	for _, rule := range alerts(t) {
		rules[rule.Alert] = rule
	}
	told := map[string]map[bool]bool{}
	for _, story := range stories {
		rule, ok := rules[story.alert]
		if !ok {
			t.Errorf("there is no alert %s", story.alert)
			continue
		}
		if told[story.alert] == nil {
			told[story.alert] = map[bool]bool{}
		}
		told[story.alert][story.fires] = true
		t.Run(story.alert+"/"+story.story, func(t *testing.T) {
			if fires(t, rule, newMemory(t, story.series), story.at) != story.fires {
				t.Errorf("%s\nfires: %v", rule.Expr, !story.fires)
			}
		})
	}
	for name := range rules {
		if !told[name][true] || !told[name][false] {
			t.Errorf("no story in which %s fires, or none in which it does not", name)
		}
	}
}
