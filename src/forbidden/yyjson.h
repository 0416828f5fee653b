#error "yyjson.h belongs to infra: domain and app reach the world only through ports"
