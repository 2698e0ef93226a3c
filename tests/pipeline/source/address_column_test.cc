#include "pipeline/source/address_column.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace volley::pipeline {
namespace {

using engine::message::FieldView;
using ::testing::HasSubstr;

using Names = std::vector<std::string>;

// The column's name, or the error.
std::string Find(const Names& columns, const std::vector<std::string>& row,
                 const std::string& named = "") {
  std::vector<FieldView> fields;
  for (const std::string& text : row) fields.push_back({text});
  const auto found = FindAddressColumn(columns, named, fields);
  return found.ok() ? columns.at(*found) : "error: " + std::string(found.status().message());
}

TEST(AddressColumn, IsFoundByNameInAnySpelling) {
  for (const std::string name : {"email", "E-Mail", "e_mail", "EMAIL", "Email Address",
                                 "email_address", "emailaddress", "mail"}) {
    EXPECT_EQ(Find({"id", name, "name"}, {"1", "not an address", "Ann"}), name);
  }
}

TEST(AddressColumn, MayBeCalledToOrAddressOnlyWhereAddressesAre) {
  EXPECT_EQ(Find({"name", "address"}, {"Ann", "ann@example.org"}), "address");
  EXPECT_EQ(Find({"to", "name"}, {"ann@example.org", "Ann"}), "to");
  EXPECT_EQ(Find({"address", "contact"}, {"120 any st.", "ann@example.org"}), "contact");
  EXPECT_EQ(Find({"address", "email"}, {"x@example.org", "ann@example.org"}), "email");
}

TEST(AddressColumn, IsElseTheOnlyOneWithAnAddress) {
  EXPECT_EQ(Find({"who", "name"}, {"ann@example.org", "Ann"}), "who");
  EXPECT_THAT(Find({"who", "whom"}, {"a@example.org", "b@example.org"}),
              HasSubstr("more than one column holds an address; name it with --address-column. "
                        "Columns: \"who\", \"whom\""));
  EXPECT_THAT(Find({"who", "name"}, {"Ann", "Example"}),
              HasSubstr("no column of addresses was found; name it with --address-column"));
}

TEST(AddressColumn, IsNotGuessedBetweenTwoNamesOfEqualRank) {
  EXPECT_THAT(Find({"email", "E-Mail"}, {"a@example.org", "b@example.org"}),
              HasSubstr("\"email\" and \"E-Mail\" may both be the column of addresses"));
  EXPECT_EQ(Find({"mail", "email"}, {"a@example.org", "b@example.org"}), "email");
}

TEST(AddressColumn, CanBeNamed) {
  EXPECT_EQ(Find({"email", "work"}, {"a@example.org", "b@example.org"}, "work"), "work");
  EXPECT_EQ(Find({"email", "Work"}, {"a@example.org", "b@example.org"}, "WORK"), "Work");
  EXPECT_EQ(Find({"Work", "work"}, {"a@example.org", "b@example.org"}, "work"), "work");
  EXPECT_THAT(Find({"email", "name"}, {"a@example.org", "Ann"}, "mial"),
              HasSubstr("there is no column \"mial\" (--address-column). Columns: \"email\", "));
}

TEST(AddressColumn, ShowsTheLineThatAListWithoutHeaderNeeds) {
  EXPECT_TRUE(CheckHeaderIsNames(Names{"email", "name"}).ok());
  const auto status = CheckHeaderIsNames(Names{"Ann", "ann@example.org", "Berlin"});
  EXPECT_THAT(
      std::string(status.message()),
      HasSubstr("the first line holds an address (\"ann@example.org\"), not the names of the "
                "columns. Add a line above it, for example: field1,email,field3"));
}

}  // namespace
}  // namespace volley::pipeline
