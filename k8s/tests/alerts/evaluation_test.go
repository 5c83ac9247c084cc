package alerts

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// How often metrics are scraped and rules evaluated.
const interval = 30 * time.Second

// The moment that series begin at.
var begin = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// memory holds series given in Prometheus' notation, a value for each interval: `metric{label="a"} 0 1+2x3 _`.
type memory []promql.Series

func newMemory(t *testing.T, notations []string) memory {
	t.Helper()
	var series memory
	for _, notation := range notations {
		name, values, err := promQL.ParseSeriesDesc(notation)
		if err != nil {
			t.Fatalf("%s: %v", notation, err)
		}
		one := promql.Series{Metric: name}
		for i, value := range values {
			if !value.Omitted {
				at := begin.Add(time.Duration(i) * interval).UnixMilli()
				one.Floats = append(one.Floats, promql.FPoint{T: at, F: value.Value})
			}
		}
		series = append(series, one)
	}
	return series
}

func (m memory) Querier(int64, int64) (storage.Querier, error) { return m, nil }

func (m memory) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	set := &seriesSet{at: -1}
	for _, series := range m {
		matches := true
		for _, matcher := range matchers {
			matches = matches && matcher.Matches(series.Metric.Get(matcher.Name))
		}
		if matches {
			set.series = append(set.series, series)
		}
	}
	return set
}

func (memory) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (memory) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (memory) Close() error { return nil }

type seriesSet struct {
	series []promql.Series
	at     int
}

func (s *seriesSet) Next() bool                        { s.at++; return s.at < len(s.series) }
func (s *seriesSet) At() storage.Series                { return promql.NewStorageSeries(s.series[s.at]) }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }

// Whether an alert fires at a moment: its expression has had a result, with the same labels, for as long as `for` says.
func fires(t *testing.T, rule rulefmt.Rule, series memory, at time.Duration) bool {
	t.Helper()
	engine := promql.NewEngine(promql.EngineOpts{
		MaxSamples:    1_000_000,
		Timeout:       time.Minute,
		LookbackDelta: 5 * time.Minute,
		Parser:        promQL,
	})
	defer engine.Close()
	hold := time.Duration(rule.For)
	query, err := engine.NewRangeQuery(
		t.Context(), series, nil, rule.Expr, begin.Add(at-hold), begin.Add(at), interval,
	)
	if err != nil {
		t.Fatal(err)
	}
	defer query.Close()
	matrix, err := query.Exec(t.Context()).Matrix()
	if err != nil {
		t.Fatal(err)
	}
	for _, result := range matrix {
		if len(result.Floats) == int(hold/interval)+1 {
			return true
		}
	}
	return false
}
