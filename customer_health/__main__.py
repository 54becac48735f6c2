"""`python -m customer_health` is the same as `customer-health`."""

from customer_health.cli import main

if __name__ == "__main__":
    main()
