package server

import "github.com/rondo-chat/rondo/chat"

func use() { chat.Exported["b"] = 2 }
