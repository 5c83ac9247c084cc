// Package rules tries the rules of subscriptions as daprd evaluates them.
package rules

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/dapr/dapr/pkg/expr"
)

// An event, the rules of a subscription, and whether one of them has to match.
type testCase struct {
	Subscription string
	Rules        []struct{ Match string }
	Event        map[string]any
	Delivered    bool
}

// The cases come from tests/database/rules.rs, which asks the database what it believes of the same events.
func TestRules(t *testing.T) {
	file := os.Getenv("TODO_EVENTS_RULES")
	if file == "" {
		t.Skip("needs the cases of a running service: cargo xtask test")
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var cases []testCase
	if err := json.Unmarshal(content, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) == 0 {
		t.Fatal("there are no cases")
	}
	compiled := map[string]*expr.Expr{}
	for _, each := range cases {
		delivered := false
		for _, rule := range each.Rules {
			match := compiled[rule.Match]
			if match == nil {
				match = &expr.Expr{}
				if err := match.DecodeString(rule.Match); err != nil {
					t.Fatalf("%s: %v", rule.Match, err)
				}
				compiled[rule.Match] = match
			}
			// As findMatchingRoute in pkg/runtime/subscription: the first that matches decides, and an error is one.
			result, err := match.Eval(map[string]any{"event": each.Event})
			if err != nil {
				t.Errorf("%s: %s cannot be evaluated for %v: %v", each.Subscription, rule.Match, each.Event, err)
				continue
			}
			if result == true {
				delivered = true
				break
			}
		}
		if delivered != each.Delivered {
			t.Errorf("%s: delivered: %v, but the database says %v: %v", each.Subscription, delivered, each.Delivered, each.Event)
		}
	}
}
