package runtime

import (
	"flag"
	"os"
	"testing"

	"github.com/leftfold/leftfold/controllers/internal/apitest"
)

// server is a real API server without controllers.
var server *apitest.Server

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(apitest.Main(m, func(s *apitest.Server) { server = s }))
}
