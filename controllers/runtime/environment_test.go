package runtime

import (
	"flag"
	"os"
	"testing"

	"github.com/leftfold/leftfold/controllers/internal/environment"
)

// server is a real API server without controllers.
var server *environment.Server

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(environment.Main(m, func(s *environment.Server) { server = s }))
}
