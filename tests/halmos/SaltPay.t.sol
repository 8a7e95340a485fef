// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {SaltPay} from "../../contracts/SaltPay.sol";
import {ISaltPay} from "../../contracts/interfaces/ISaltPay.sol";
import {Test} from "forge-std/Test.sol";

/// @notice A token that moves what it is asked to, and nothing else.
contract ExactToken {
    mapping(address => uint256) public balanceOf;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
        return true;
    }
}

/// @notice An account that takes whatever it is sent.
contract Payee {
    receive() external payable {}
}

/// @notice Proofs for all inputs that money passes through: `FOUNDRY_TEST=tests/halmos halmos --contract SaltPayCheck`.
/// The names begin with `check_`, which forge does not run.
contract SaltPayCheck is Test {
    SaltPay private pay;
    ExactToken private token;
    address private payer;
    address private payee;

    function setUp() public {
        pay = new SaltPay();
        token = new ExactToken();
        payer = address(new Payee());
        payee = address(new Payee());
    }

    /// @dev Whatever is sent arrives, whole, and nothing stays.
    function check_pay_passesThrough(bytes32 paymentReference, uint128 amount) external {
        vm.deal(payer, amount);
        uint256 before = payee.balance;
        vm.prank(payer);
        (bool done,) = address(pay).call{value: amount}(abi.encodeCall(ISaltPay.pay, (paymentReference, payee)));
        assert(address(pay).balance == 0);
        assert(payee.balance + payer.balance == before + amount);
        assert(payee.balance == (done ? before + amount : before));
        assert(done == (amount != 0 && paymentReference != bytes32(0)));
    }

    /// @dev A token moves from payer to payee by exactly the amount, or not at all.
    function check_payToken_passesThrough(bytes32 paymentReference, uint128 held, uint128 amount) external {
        token.mint(payer, held);
        vm.prank(payer);
        (bool done,) =
            address(pay).call(abi.encodeCall(ISaltPay.payToken, (paymentReference, payee, address(token), amount)));
        assert(token.balanceOf(address(pay)) == 0);
        assert(token.balanceOf(payee) == (done ? amount : 0));
        assert(token.balanceOf(payer) == uint256(held) - (done ? amount : 0));
        assert(done == (amount != 0 && amount <= held && paymentReference != bytes32(0)));
    }

    /// @dev Two orders in one call: each gets its own, and what does not add up moves nothing.
    function check_payMany_passesThrough(uint96 first, uint96 second, uint128 sent) external {
        vm.deal(payer, sent);
        ISaltPay.Order[] memory orders = new ISaltPay.Order[](2);
        address other = address(new Payee());
        orders[0] =
            ISaltPay.Order({paymentReference: bytes32(uint256(1)), payee: payee, asset: address(0), amount: first});
        orders[1] =
            ISaltPay.Order({paymentReference: bytes32(uint256(2)), payee: other, asset: address(0), amount: second});
        vm.prank(payer);
        (bool done,) = address(pay).call{value: sent}(abi.encodeCall(ISaltPay.payMany, (orders)));
        assert(address(pay).balance == 0);
        assert(payee.balance == (done ? first : 0));
        assert(other.balance == (done ? second : 0));
        assert(done == (first != 0 && second != 0 && uint256(first) + second == sent));
    }
}
