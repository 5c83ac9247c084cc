// Scheduler is the released Dapr scheduler, unchanged: it has no component
// registry, so nothing had to be left out of it.
package main

import "github.com/dapr/dapr/cmd/scheduler/app"

func main() {
	app.Run()
}
